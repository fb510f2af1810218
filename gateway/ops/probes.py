"""What an orchestrator asks: is the process alive, may it get traffic, and what is wrong with it."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.http.errors import timestamp
from gateway.identity.operators import Operators
from gateway.ops.envelope import Envelope
from gateway.ops.errors import NotReady
from gateway.runtime import Runtime
from schema.health import HealthStatus, health_of


def probe_routes(current: Callable[[], Runtime | None], operators: Operators, envelope: Envelope) -> list[Route]:
    """The routes below /health.

    Args:
        current: the runtime that serves; None before it is open and once it is closing.
        operators: who is told more than a status.
        envelope: shapes errors.
    """

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> JSONResponse:
        if current() is None:
            raise NotReady("The gateway is not ready.")
        return JSONResponse({"status": "ok"})

    async def health(request: Request) -> JSONResponse:
        runtime = current()
        if runtime is None:
            raise NotReady("The gateway is not ready.")
        body = health_body(runtime)
        code = 503 if body["status"] == HealthStatus.DOWN.value else 200
        return JSONResponse(body if await operators.is_operator(request.scope) else {"status": body["status"]}, code)

    probes = {"/health/live": live, "/health/ready": ready, "/health": health}
    return [Route(path, envelope.around(probe), methods=["GET"]) for path, probe in probes.items()]


def health_body(runtime: Runtime) -> dict[str, Any]:
    """The health of a gateway, and of all it depends on."""
    found = health_of(runtime)
    return {
        "status": found.status.value,
        "startedAt": timestamp(found.started_at),
        "load": {
            "inFlight": found.load.in_flight,
            "limit": found.load.limit,
            "loopLagMs": found.load.loop_lag_ms,
            "shed": found.load.shed,
        },
        "checks": [{"name": c.name, "status": c.status.value, "reason": c.reason} for c in found.checks],
    }
