"""Requests in gzip, never made larger than they may be (RFC 9110 §8.4; RFC 1952)."""

import asyncio
import zlib

from gateway.http.errors import MalformedRequest, PayloadTooLarge

_GZIP_WINDOW = 31  # zlib's way to say: 32 kB, with a gzip header
_IN_THREAD_BYTES = 100_000  # more takes more than about a millisecond


async def inflated(body: bytes, max_bytes: int) -> bytes:
    """What a body in gzip stands for; never more than `max_bytes` of it is made.

    Raises:
        PayloadTooLarge: it is more.
        MalformedRequest: it is not gzip, not all of it, or more than one stream.
    """
    if len(body) > _IN_THREAD_BYTES:
        return await asyncio.to_thread(_inflated, body, max_bytes)
    return _inflated(body, max_bytes)


def _inflated(body: bytes, max_bytes: int) -> bytes:
    stream = zlib.decompressobj(_GZIP_WINDOW)
    try:
        content = stream.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise MalformedRequest("The body is not gzip, as its Content-Encoding says.") from error
    if len(content) > max_bytes:
        raise PayloadTooLarge(f"The body is larger than {max_bytes} bytes once it is decompressed.")
    if not stream.eof or stream.unused_data:
        raise MalformedRequest("The body must be one gzip stream, and the whole of it.")
    return content
