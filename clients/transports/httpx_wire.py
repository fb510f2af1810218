"""The reference wire: httpx's transports without its client: no redirects, cookies or proxies to turn off.

About forty times pyreqwest's CPU; it is here for tests (ASGI applications), for what pyreqwest cannot reach, and to
check pyreqwest against. Slots are ours because httpcore leaks places in a contended pool when waiters are cancelled.
"""

import asyncio
import re
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import httpx

from clients.transports.base import WireBroken, WireConnectError, WireResponse, WireTooLarge
from clients.transports.options import DEFAULTS, USER_AGENT, WireOptions

_PIECE = 65536
_FIELD_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_FIELD_VALUE = re.compile(rb"(?:[^\0\s](?:[^\0\r\n]*[^\0\s])?)?")  # section 5.5
_BAD_REQUEST = "not a request that can be sent: bad method, URL or header"
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class HttpxWire:
    """A `Wire` on an httpx transport.

    Args:
        options: TLS and pool.
        transport: an httpx transport to use instead of the network, such as `httpx.ASGITransport` or a company's own;
            it is closed with the wire, and of `options` only those that are about requests apply to it.
    """

    def __init__(self, options: WireOptions = DEFAULTS, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport or _build(options)
        self._slots = asyncio.Semaphore(options.max_connections)
        self._give_up_s = options.give_up_s
        self._connect_to = options.connect_to
        self._closed = False

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_body_bytes: int
    ) -> WireResponse:
        """Send and read the whole body; see `Wire`."""
        async with self._slots:
            if self._closed:
                raise WireConnectError("the wire is closed")
            request = _request(method, url, headers, body)
            if self._connect_to is not None:
                _redirect(request, *self._connect_to)
            gave_up = asyncio.timeout(self._give_up_s)
            try:
                async with gave_up:
                    return await self._exchange(request, max_body_bytes)
            except TimeoutError:
                if not gave_up.expired():
                    raise
                raise WireBroken("no whole answer before the wire gave up") from None

    async def aclose(self) -> None:
        """Close; requests under way fail with WireBroken."""
        self._closed = True
        await self._transport.aclose()

    async def _exchange(self, request: httpx.Request, max_body_bytes: int) -> WireResponse:
        try:
            response = await self._transport.handle_async_request(request)
            try:
                body = await _read(response, max_body_bytes)
            finally:
                await response.aclose()
        except _NOTHING_SENT as error:
            raise WireConnectError(_words(error)) from None
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise WireBroken(_words(error)) from None
        return WireResponse(response.status_code, _plain(response.headers), body)


def _build(options: WireOptions) -> httpx.AsyncHTTPTransport:
    context = ssl.create_default_context()
    for path in options.ca_files:
        context.load_verify_locations(path)
    if options.client_cert_file is not None:
        context.load_cert_chain(options.client_cert_file, options.client_key_file)
    limits = httpx.Limits(
        max_connections=None, max_keepalive_connections=options.max_connections, keepalive_expiry=options.idle_s
    )
    return httpx.AsyncHTTPTransport(verify=context, trust_env=False, http1=True, http2=False, limits=limits)


def _request(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> httpx.Request:
    try:
        request = httpx.Request(method, url, headers=headers, content=body)
        request.headers.setdefault("user-agent", USER_AGENT)
        request.headers.setdefault("accept", "*/*")
        request.headers.setdefault("accept-encoding", "gzip, deflate")
        for name, value in request.headers.raw:
            # h11 says so only later, together with what may have happened after sending
            if _FIELD_NAME.fullmatch(name) is None or _FIELD_VALUE.fullmatch(value) is None:
                raise ValueError(name)
        target = request.url
        if target.scheme not in {"http", "https"} or not target.host or (target.port or 0) > 65535:
            raise ValueError(url)
        if target.userinfo and "authorization" not in request.headers:
            request = next(httpx.BasicAuth(target.username, target.password).auth_flow(request))
    except (httpx.InvalidURL, ValueError, TypeError):  # UnicodeError is a ValueError
        raise WireConnectError(_BAD_REQUEST) from None
    return request


def _redirect(request: httpx.Request, host: str, address: str) -> None:
    """Let the request connect to the address; its Host header is set by now, and TLS is told the name."""
    if request.url.host == host.lower():
        request.extensions["sni_hostname"] = request.url.raw_host.decode("ascii")
        request.url = request.url.copy_with(host=address)


async def _read(response: httpx.Response, limit: int) -> bytes:
    pieces, size = [], 0
    async for piece in _decoded(response):
        size += len(piece)
        if size > limit:
            raise WireTooLarge(f"the answer is larger than {limit} bytes")
        pieces.append(piece)
    return b"".join(pieces)


async def _decoded(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body, decompressed in pieces: httpx itself would expand 64 KiB of input at a time, to whatever it holds."""
    if response.is_stream_consumed:  # a transport that answers from memory
        yield response.content
        return
    decoder = _decoder(response.headers.get("content-encoding", "").strip().lower())
    async for data in response.aiter_raw():
        if decoder is None:
            yield data
            continue
        pending = data
        while pending and not decoder.eof:
            try:
                piece = decoder.decompress(pending, _PIECE)
            except zlib.error:
                raise httpx.DecodingError("the compressed body is damaged") from None
            pending = decoder.unconsumed_tail
            yield piece
    if decoder is not None and not decoder.eof:
        raise httpx.DecodingError("the compressed body ends early")


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _decoder(encoding: str) -> _Decoder | None:
    match encoding:
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return zlib.decompressobj(zlib.MAX_WBITS | 16)
        case "deflate":
            return zlib.decompressobj()  # RFC 9110 section 8.4.1.2: the zlib format
        case _:
            raise httpx.DecodingError("the body has an encoding that was not asked for")


def _plain(headers: httpx.Headers) -> dict[str, str]:
    plain = dict(headers.items())  # lower-case names, several values joined with ", "
    if plain.get("content-encoding", "identity") != "identity":
        plain.pop("content-encoding")
        plain.pop("content-length", None)  # it counted the compressed bytes
    return plain


def _words(error: Exception) -> str:
    # h11's words may quote what it was given; the kinds and the system's words may not
    if isinstance(error, httpx.DecodingError | httpx.ConnectError | OSError):
        return str(error) or type(error).__name__
    return f"the connection broke ({type(error).__name__})"
