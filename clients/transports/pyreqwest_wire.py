"""The default wire: pyreqwest, which is hyper and rustls on a thread of its own.

Measured, one small POST, 20 at once, microseconds of CPU over all threads; both columns are the same code on the same
two cores, depending on where the kernel puts the library's thread:

    whole body, `build().send()`                                 20   40
    streamed                                                     21   44
    streamed, buffer of 0                                        22   49
    multi-threaded runtime                                       + 9 to 17
    timeout on the client                                        + 1
    every header into a dict                                     + 2 to 4
    this adapter, all told                                       25   48

Only a streamed body can be limited, so that is the one way here, for small bodies too. The runtime stays
single-threaded: it does little but copy, and more threads only pass the work around.

What the library does that callers must not see (0.15.1):

- Cancelling does not abort what the runtime is doing. The task that waits for a place in its pool, for the head or for
  the first 64 KiB of the body runs on without a reader: a queued request would still be sent, and a silent upstream
  would hold its socket for ever. Hence the places are ours, and `give_up_s` bounds the rest. (With a buffer of 0 the
  body could be dropped at once; the wait for the head, which is the usual one, would stay as it is.)
- A cancellation that meets an answer is lost now and then; the task's own count of cancellations is asked.
- It says `ConnectError` also when a connection broke after the request was sent; only the causes tell.
- Closing leaves idle connections open until the client object goes.
- Of a bundle of certificates it takes the first.
- A header value outside ASCII raises ValueError when it is read; its message, like that of a bad request header,
  quotes the value. Other messages quote the URL with its query. So none of them is passed on.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pyreqwest.bytes import Bytes
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError, PyreqwestError, RequestError, RequestTimeoutError
from pyreqwest.http import HeaderMap
from pyreqwest.request import StreamRequest

from clients.transports.base import WireBroken, WireConnectError, WireError, WireResponse, WireTooLarge
from clients.transports.options import DEFAULTS, USER_AGENT, WireOptions

_PEM_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class PyreqwestWire:
    """A `Wire` on pyreqwest. Cancelling `send` frees its place in the pool at once.

    The connection of a cancelled request is closed when its answer comes, or after `give_up_s`, whichever is sooner;
    where 64 KiB of the answer had come already, at once.
    """

    def __init__(self, options: WireOptions = DEFAULTS) -> None:
        self._client: Client | None = _build(options)
        self._slots = asyncio.Semaphore(options.max_connections)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_body_bytes: int
    ) -> WireResponse:
        """Send and read the whole body; see `Wire`."""
        await self._slots.acquire()
        try:
            return await self._exchange(self._request(method, url, headers, body), max_body_bytes)
        finally:
            self._slots.release()

    def _request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> StreamRequest:
        if self._client is None:
            raise WireConnectError("the wire is closed")
        try:
            builder = self._client.request(method, url).headers(headers)
            if body is not None:
                builder = builder.body_bytes(body)
            return builder.build_streamed()
        except (ValueError, PyreqwestError):
            raise WireConnectError("not a request that can be sent: bad method, URL or header") from None

    async def _exchange(self, request: StreamRequest, max_body_bytes: int) -> WireResponse:
        task = asyncio.current_task()
        asked_before = task.cancelling() if task else 0
        response = None
        try:
            response = await request.__aenter__()
            read_chunk = response.body_reader.read_chunk
            chunks: list[Bytes] = []
            size = 0
            while True:
                if task and task.cancelling() > asked_before:
                    raise asyncio.CancelledError  # the library had its answer and dropped the cancellation
                if (chunk := await read_chunk()) is None:
                    break
                size += len(chunk)
                if size > max_body_bytes:
                    raise WireTooLarge(f"the answer is larger than {max_body_bytes} bytes")
                chunks.append(chunk)
            return WireResponse(response.status, _Headers(response.headers), b"".join(chunks))
        except BaseException as error:
            if response is not None:
                # Only here: a body read to its end has nothing to close, and each call across costs a microsecond.
                await request.__aexit__(None, None, None)
            if isinstance(error, PyreqwestError):
                raise _wire_error(error, head_came=response is not None) from None
            raise

    async def aclose(self) -> None:
        """Close; requests under way fail with WireBroken."""
        client, self._client = self._client, None  # unused connections close when the last reference goes
        if client is not None:
            await client.close()


def _build(options: WireOptions) -> Client:
    builder = (
        ClientBuilder()
        .http1_only()
        .user_agent(USER_AGENT)
        .follow_redirects(enable=False)
        .referer(enable=False)
        .no_proxy()
        .default_cookie_store(enable=False)
        .pool_max_idle_per_host(options.max_connections)
        .pool_idle_timeout(timedelta(seconds=options.idle_s))
        .timeout(timedelta(seconds=options.give_up_s))
    )
    if options.connect_to is not None:
        builder = builder.resolve(*options.connect_to, 0)  # port 0: that of the URL
    for path in options.ca_files:
        certificates = _PEM_CERTIFICATE.findall(path.read_bytes())
        if not certificates:
            raise ValueError(f"{path} holds no PEM certificate")
        for certificate in certificates:  # the library takes the first of a bundle and drops the others
            builder = builder.add_root_certificate_pem(certificate)
    if options.client_cert_file is not None:
        identity = options.client_cert_file.read_bytes()
        if options.client_key_file is not None:
            identity += b"\n" + options.client_key_file.read_bytes()
        builder = builder.identity_pem(identity)
    return builder.build()


class _Headers(Mapping[str, str]):
    """The library's headers, read when asked for: most never are, and a dict of all costs 2 µs."""

    __slots__ = ("_headers",)

    def __init__(self, headers: HeaderMap) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        value: str | None = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """As of any mapping; theirs raises and catches KeyError, which for a header that is not there costs 1 µs."""
        try:
            values = self._headers.getall(name)
        except ValueError:
            return default  # outside ASCII: nothing that we act on
        if not values:
            return default
        return values[0] if len(values) == 1 else ", ".join(values)  # RFC 9110 section 5.3

    def __iter__(self) -> Iterator[str]:
        return (name for name in dict.fromkeys(self._headers) if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<{len(self._headers)} headers>"  # values may be secret


def _wire_error(error: PyreqwestError, *, head_came: bool) -> WireError:
    causes = [cause["message"] for cause in (error.details["causes"] or ())] if isinstance(error, RequestError) else []
    if isinstance(error, BuilderError):
        return WireConnectError("not a request that can be sent: bad method, URL or header")
    not_sent = not head_came and "client error (Connect)" in causes
    said = [text for text in causes if "for url (" not in text and not text.startswith("client error (")]
    if isinstance(error, RequestTimeoutError):
        said = ["no whole answer before the wire gave up"]
    words = ": ".join(said) or error.message
    return WireConnectError(words) if not_sent else WireBroken(words)
