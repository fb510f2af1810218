"""What an orchestrator asks: is the process alive, may it get traffic, and what is wrong with it."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.http.errors import timestamp
from gateway.identity.operators import Operators
from gateway.runtime import Runtime
from schema.health import HealthStatus, health_of


def probe_routes(current: Callable[[], Runtime | None], operators: Operators) -> list[Route]:
    """The routes below /health.

    Args:
        current: the runtime that serves; None before it is open and once it is closing.
        operators: who is told more than a status.
    """

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> JSONResponse:
        if current() is None:
            return JSONResponse({"status": "not ready"}, 503)
        return JSONResponse({"status": "ok"})

    async def health(request: Request) -> JSONResponse:
        runtime = current()
        if runtime is None:
            return JSONResponse({"status": "not ready"}, 503)
        found = health_of(runtime)
        code = 503 if found.status is HealthStatus.DOWN else 200
        if not await operators.is_operator(request.scope):
            return JSONResponse({"status": found.status.value}, code)
        body = {
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
        return JSONResponse(body, code)

    return [Route("/health/live", live), Route("/health/ready", ready), Route("/health", health)]
