"""The shape of every answer that is not GraphQL, and of every error there.

`{"success": true, "data": …, "timestamp": …, "requestId": …}`, or
`{"success": false, "error": {"code", "category", "message", "details", "timestamp", "requestId", "path"}}`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from clients.clock import Clock
from gateway.http.endpoint import OnError
from gateway.http.errors import INTERNAL_MESSAGE, MalformedRequest, MethodNotAllowed, RequestError, timestamp
from gateway.ops.errors import NotFound

Ask: TypeAlias = Callable[[Request], Awaitable[Any]]
"""Gives the `data` of an answer, or a whole response; may raise any `RequestError`."""

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

_MOST_PATH = 200


class Envelope:
    """Makes such answers.

    Args:
        request_id: finds the id of a request in its headers, or makes one.
        on_error: told of every exception that is not a `RequestError`; must not raise.
        clock: of the timestamps.
    """

    def __init__(self, request_id: Callable[[Mapping[str, str]], str], on_error: OnError, clock: Clock) -> None:
        self._request_id = request_id
        self._on_error = on_error
        self._clock = clock

    def around(self, ask: Ask) -> Endpoint:
        """An endpoint for Starlette."""

        async def endpoint(request: Request) -> Response:
            request_id = self._request_id(request.headers)
            request.state.request_id = request_id
            try:
                found = await ask(request)
            except RequestError as error:
                return self._refusal(request, error, request_id)
            except Exception as error:  # noqa: BLE001  # the last resort: masked here, told to on_error
                self._on_error(error, request_id)
                return self._failure(
                    request,
                    500,
                    request_id,
                    code="INTERNAL_SERVER_ERROR",
                    category="internal",
                    message=INTERNAL_MESSAGE,
                )
            if isinstance(found, Response):
                found.headers["x-request-id"] = request_id
                return found
            body = {"success": True, "data": found, "timestamp": self._now(), "requestId": request_id}
            return _response(body, 200, request_id)

        return endpoint

    async def not_routed(self, request: Request, error: Exception) -> Response:
        """Starlette's handler of its own errors: no such address, no such method there."""
        request_id = self._request_id(request.headers)
        refusal: RequestError = NotFound("Nothing has this address.")
        if isinstance(error, HTTPException) and error.status_code != 404:
            refusal = MalformedRequest("The request is not one that this address takes.")
            if error.status_code == 405:
                allow = (error.headers or {}).get("Allow", "GET")
                refusal = MethodNotAllowed(f"This address is asked with {allow}.", allow=allow)
        return self._refusal(request, refusal, request_id)

    def _refusal(self, request: Request, error: RequestError, request_id: str) -> Response:
        first = error.errors[0]
        response = self._failure(
            request,
            error.status,
            request_id,
            code=error.code,
            category=error.category,
            message=str(first["message"]),
            details=dict(first.get("extensions", {})),
        )
        response.headers.update(error.headers)
        return response

    def _failure(
        self,
        request: Request,
        status: int,
        request_id: str,
        *,
        code: str,
        category: str,
        message: str,
        details: Mapping[str, Any] | None = None,
    ) -> Response:
        error = {
            "code": code,
            "category": category,
            "message": message,
            "details": details or {},
            "timestamp": self._now(),
            "requestId": request_id,
            "path": request.url.path[:_MOST_PATH],
        }
        return _response({"success": False, "error": error}, status, request_id)

    def _now(self) -> str:
        return timestamp(self._clock.wall())


def _response(body: Mapping[str, Any], status: int, request_id: str) -> Response:
    headers = {
        "content-type": "application/json",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-request-id": request_id,
    }
    return Response(msgspec.json.encode(body), status, headers=headers)
