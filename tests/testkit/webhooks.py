"""A receiver of webhooks, as an operator would run one."""

import asyncio
from typing import Any, Self

from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.testkit.serve import TestServer
from tests.testkit.waiting import Signal

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """A server that alerts are posted to. An async context manager.

    Attributes:
        statuses: of the next answers; 200 after them.
        got: path, headers and body of each message.
        open: while it is not set, answers wait.
    """

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.open = asyncio.Event()
        self.open.set()
        self._changed = Signal()
        self.server = TestServer(Starlette(routes=[Route("/{path:path}", self._take, methods=["POST"])]))

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.server.__aexit__(*error)

    async def _take(self, request: Request) -> Response:
        self.got.append((request.url.path, dict(request.headers), await request.body()))
        self._changed.notify()
        await self.open.wait()
        return Response("thank you", self.statuses.pop(0) if self.statuses else 200)

    async def wait_for(self, count: int) -> list[tuple[str, dict[str, str], bytes]]:
        """All messages, once there are so many."""
        await self._changed.until(
            lambda: len(self.got) >= count, lambda: f"{count} messages; there are {len(self.got)}"
        )
        return self.got

    def verified(self, number: int, secret: str = SECRET) -> Any:
        """The payload of a message, its signature checked by the library that receivers use."""
        _, headers, body = self.got[number]
        return Webhook(secret).verify(body, headers)
