"""The default wire: pyreqwest, which is hyper and rustls on a thread of its own.

Measured on one core, one small POST, 20 at once, microseconds of CPU (all threads, best of nine rounds):

    whole body, `build().send()`                    21.0
    streamed, library's buffer of 64 KiB            21.2
    streamed, no buffer                             22.2
    the same with all headers as a dict             24
    whole body, multi-threaded runtime              + 9

A streamed body can be limited and costs next to nothing, so that is the one way here, for small bodies too. The
runtime stays single-threaded: it does little but copy, and more threads fight over the core with Python's own.

What the library does that callers must not see (0.15.1):

- Cancelling does not abort what the runtime is doing. The task that waits for a connection slot, for the head or,
  buffered, for the body runs on without a reader: a queued request would still be sent, and a silent upstream would
  hold its socket for ever. Hence slots are ours, the buffer is 0 (leaving the block then closes the connection at
  once), and `give_up_s` bounds the wait for the head.
- It says `ConnectError` also when a connection broke after the request was sent; only the causes tell.
- A header value outside ASCII raises ValueError when it is read; its message, like that of a bad request header,
  quotes the value. Other messages quote the URL with its query. So none of them is passed on.
"""

import asyncio
import re
from collections.abc import Mapping
from datetime import timedelta

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError, PyreqwestError, RequestError, RequestTimeoutError
from pyreqwest.http import HeaderMap

from clients.transports.base import WireBroken, WireConnectError, WireError, WireResponse, WireTooLarge
from clients.transports.options import DEFAULTS, USER_AGENT, WireOptions

_PEM_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class PyreqwestWire:
    """A `Wire` on pyreqwest. Cancelling `send` frees its place in the pool at once.

    The connection of a request that is cancelled before the head of its answer came is closed when that head comes, or
    after `give_up_s`; a connection whose body is being read is closed at once.
    """

    def __init__(self, options: WireOptions = DEFAULTS) -> None:
        self._client = _build(options)
        self._slots = asyncio.Semaphore(options.max_connections)
        self._closed = False

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_body_bytes: int
    ) -> WireResponse:
        """Send and read the whole body; see `Wire`."""
        async with self._slots:
            if self._closed:
                raise WireConnectError("the wire is closed")
            try:
                builder = self._client.request(method, url).headers(headers).streamed_read_buffer_limit(0)
                if body is not None:
                    builder = builder.body_bytes(body)
                request = builder.build_streamed()
            except (ValueError, PyreqwestError):
                raise WireConnectError("not a request that can be sent: bad method, URL or header") from None
            response = None
            try:
                async with request as response:
                    chunks, size = [], 0
                    read_chunk = response.body_reader.read_chunk
                    while (chunk := await read_chunk()) is not None:
                        size += len(chunk)
                        if size > max_body_bytes:
                            raise WireTooLarge(f"the answer is larger than {max_body_bytes} bytes")
                        chunks.append(chunk)
                    return WireResponse(response.status, _plain(response.headers), b"".join(chunks))
            except PyreqwestError as error:
                raise _wire_error(error, head_came=response is not None) from None

    async def aclose(self) -> None:
        """Close; requests under way fail with WireBroken."""
        self._closed = True
        await self._client.close()


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


def _plain(headers: HeaderMap) -> dict[str, str]:
    try:
        if len(headers) == headers.keys_len():
            return dict(headers.items())
    except ValueError:
        pass  # a value outside ASCII; read them one by one
    plain = {}
    for name in dict.fromkeys(headers):
        try:
            plain[name] = ", ".join(headers.getall(name))  # RFC 9110 section 5.3
        except ValueError:
            continue  # nothing we act on has a value outside ASCII
    return plain


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
