"""An OAuth 2.0 token endpoint on a real socket that keeps a record and misbehaves on command."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tests.testkit.serve import TestServer
from tests.testkit.waiting import DEADLINE_S, Signal


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What was asked: headers by lower-case name, and the form."""

    headers: Mapping[str, str]
    form: Mapping[str, str]


class TokenServer:
    """Gives `token-1`, `token-2` and so on; enter it to start.

    Attributes:
        requests: every request, in order of arrival.
        extra: merged into each good answer; a value of None leaves a member out.
        answers: given instead of a good answer, first come first served.
        gate: answers wait for it; set to begin with.
    """

    def __init__(self, **extra: Any) -> None:
        self.requests: list[TokenRequest] = []
        self.extra: dict[str, Any] = {"expires_in": 3600, **extra}
        self.answers: list[Response] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.server = TestServer(self._app)
        self._changed = Signal()

    @property
    def url(self) -> str:
        """The token endpoint."""
        return f"{self.server.url}/token"

    async def wait_for_requests(self, count: int, *, deadline_s: float = DEADLINE_S) -> None:
        """Return once at least `count` requests have arrived.

        Raises:
            TimeoutError: saying how many there are instead.
        """
        await self._changed.until(
            lambda: len(self.requests) >= count,
            lambda: f"{count} token requests; there are {len(self.requests)}",
            deadline_s=deadline_s,
        )

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.server.__aexit__(kind, error, trace)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        request = Request(scope, receive)
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        self.requests.append(TokenRequest({k.lower(): v for k, v in request.headers.items()}, form))
        number = len(self.requests)
        self._changed.notify()
        await self.gate.wait()
        if self.answers:
            await self.answers.pop(0)(scope, receive, send)
            return
        said = {"access_token": f"token-{number}", "token_type": "Bearer", **self.extra}
        await JSONResponse({k: v for k, v in said.items() if v is not None})(scope, receive, send)
