"""ASGI middleware that makes an upstream misbehave as its switches say."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.faults import FaultBoard, Mode

Drop = Callable[[Scope], Awaitable[None]]
"""Cuts the connection of a request."""

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Temper:
    """What an upstream is like when nobody has broken it."""

    min_delay_s: float
    max_delay_s: float
    failure_rate: float


class Faulty:
    """Counts the requests of an upstream, and answers those badly that its switches say.

    `/graphql` and `/api` are its protocols; other paths always work.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        upstream: str,
        board: FaultBoard,
        drop: Drop,
        rng: random.Random,
        sleep: Sleep = asyncio.sleep,
        temper: Temper | None = None,
    ) -> None:
        """Wrap `app`.

        Args:
            app: the healthy upstream.
            upstream: its name on the board.
            board: the switches.
            drop: cuts a request's connection.
            rng: decides what is left to chance.
            sleep: waits.
            temper: faults it has without any switch; the mode `steady` turns them off.
        """
        self._app = app
        self._upstream = upstream
        self._board = board
        self._drop = drop
        self._rng = rng
        self._sleep = sleep
        self._temper = temper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        protocol = _protocol(scope)
        if protocol is None:
            await self._app(scope, receive, send)
            return
        self._board.count(self._upstream, protocol)
        fault = self._board.fault(self._upstream, protocol)
        bad: Response | None = None
        match fault.mode if fault else None:
            case Mode.ERROR:
                bad = JSONResponse({"error": "broken on purpose"}, 500)
            case Mode.UNAVAILABLE if fault:
                bad = _unavailable(fault.retry_after_s)
            case Mode.MALFORMED:
                bad = Response(b'{"data": {"oops', media_type="application/json")
            case Mode.EMPTY:
                bad = Response(b"", media_type="application/json")
            case Mode.RESET:
                self._board.count(self._upstream, protocol, failed=True)
                await self._drop(scope)
                return
            case Mode.HANG:
                self._board.count(self._upstream, protocol, failed=True)
                await _disconnected(receive)
                return
            case Mode.SLOW if fault:
                await self._sleep(fault.delay_ms / 1000)
            case Mode.FLAKY if fault and self._rng.random() < fault.rate:
                bad = _unavailable(0)
            case None if self._temper:
                await self._sleep(self._rng.uniform(self._temper.min_delay_s, self._temper.max_delay_s))
                if self._rng.random() < self._temper.failure_rate:
                    bad = _unavailable(0)
        if bad is not None:
            self._board.count(self._upstream, protocol, failed=True)
        await (bad or self._app)(scope, receive, send)


def _protocol(scope: Scope) -> str | None:
    if scope["type"] != "http":
        return None
    path: str = scope["path"]
    return "graphql" if path.startswith("/graphql") else "rest" if path.startswith("/api/") else None


def _unavailable(retry_after_s: int) -> Response:
    headers = {"retry-after": str(retry_after_s)} if retry_after_s else None
    return JSONResponse({"error": "unavailable on purpose"}, 503, headers=headers)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
