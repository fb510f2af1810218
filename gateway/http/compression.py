"""Answers in gzip, for clients that ask for it (RFC 9110 §12.5.3; RFC 1952)."""

import asyncio
import functools
from collections.abc import Iterable

from isal import isal_zlib
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.bodies import CompressionConfig

_GZIP_WINDOW = 31  # zlib's way to say: 32 kB, with a gzip header
_LEVEL = 1  # of ISA-L's 0 to 3; as small as zlib's 4 on JSON in a seventh of the time, docs/decisions/bodies.md
_IN_THREAD_BYTES = 1_000_000  # more takes more than about a millisecond
_LONGEST_CACHED_HEADER = 256


class Compression:
    """An ASGI application whose JSON answers are sent in gzip to clients that ask for it.

    What is streamed, what is small and what has an encoding already is left as it is.
    """

    def __init__(self, app: ASGIApp, config: CompressionConfig) -> None:
        self._app = app
        self._min_bytes = config.min_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def send_smaller(message: Message) -> None:
            nonlocal held
            if held is not None:
                start, held = held, None
                body = await _deflated(message["body"])
                start["headers"] = [
                    *((name, value) for name, value in start["headers"] if name != b"content-length"),
                    (b"content-encoding", b"gzip"),
                    (b"content-length", b"%d" % len(body)),
                ]
                await send(start)
                await send({"type": "http.response.body", "body": body})
                return
            if message["type"] == "http.response.start" and self._is_for_compression(message):
                message["headers"] = [_varying(*header) for header in message["headers"]]
                if _wants_gzip(scope["headers"]):
                    held = message
                    return
            await send(message)

        await self._app(scope, receive, send_smaller)

    def _is_for_compression(self, start: Message) -> bool:
        """Whether it is JSON, all of it at once, and enough of it."""
        headers = dict(start["headers"])
        length = headers.get(b"content-length")  # what is streamed has none
        return (
            length is not None
            and int(length) >= self._min_bytes
            and headers.get(b"content-type", b"").startswith(b"application/")
            and b"content-encoding" not in headers
        )


async def _deflated(body: bytes) -> bytes:
    if len(body) > _IN_THREAD_BYTES:
        return await asyncio.to_thread(_deflate, body)
    return _deflate(body)


def _deflate(body: bytes) -> bytes:
    stream = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW)
    first: bytes = stream.compress(body)
    return first + stream.flush()


def _varying(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return (name, value + b", accept-encoding") if name == b"vary" else (name, value)


def _wants_gzip(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    asked = b",".join(value for name, value in headers if name == b"accept-encoding")
    if not asked:
        return False
    return _cached_prefers_gzip(asked) if len(asked) <= _LONGEST_CACHED_HEADER else prefers_gzip(asked)


def prefers_gzip(accept_encoding: bytes) -> bool:
    """Whether gzip is acceptable, and not less so than no encoding at all."""
    qualities: dict[str, float] = {}
    for entry in accept_encoding.decode("latin-1").lower().split(","):
        name, _, parameters = entry.partition(";")
        key, _, text = parameters.partition("=")
        qualities[name.strip()] = _quality(text) if key.strip() == "q" else 1.0
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


_cached_prefers_gzip = functools.lru_cache(maxsize=256)(prefers_gzip)
