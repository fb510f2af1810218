"""The control server: the switches over HTTP, alive while the upstreams are down."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.faults import Fault, FaultBoard, FaultError, Mode


def control_app(board: FaultBoard, urls: dict[str, str], apply: Callable[[], Awaitable[None]]) -> Starlette:
    """The switches: `GET /` lists, `POST /{target}` breaks with `{"mode": …}`, `DELETE /{target}` mends.

    Args:
        board: the state that is changed.
        urls: where each upstream is, for the list.
        apply: called after a change; closes and opens sockets accordingly.
    """

    async def show(_: Request) -> Response:
        upstreams = {name: {"url": urls[name], **entry} for name, entry in board.report().items()}
        return JSONResponse({"upstreams": upstreams, "targets": board.targets, "modes": list(Mode)})

    async def throw(request: Request) -> Response:
        # Any page in a browser may post a form here; it may not post JSON.
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _refusal('send JSON: {"mode": "error"}', 415)
        try:
            fault = msgspec.json.decode(await request.body(), type=Fault)
        except msgspec.DecodeError as error:
            return _refusal(f"{error}; the modes are {', '.join(Mode)}", 422)
        board.set(request.path_params["target"], fault)
        await apply()
        return JSONResponse({"target": request.path_params["target"], "fault": msgspec.to_builtins(fault)})

    async def heal(request: Request) -> Response:
        board.clear(request.path_params["target"])
        await apply()
        return JSONResponse({"target": request.path_params["target"], "fault": None})

    async def refuse(_: Request, error: Exception) -> Response:
        return _refusal(str(error), 404)

    routes = [
        Route("/", show),
        Route("/{target}", throw, methods=["POST"]),
        Route("/{target}", heal, methods=["DELETE"]),
    ]
    handlers: dict[Any, Any] = {FaultError: refuse}
    return Starlette(routes=routes, exception_handlers=handlers)


def _refusal(why: str, status: int) -> Response:
    return JSONResponse({"error": why}, status)
