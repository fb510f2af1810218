"""What every wire does, over real sockets."""

import asyncio
import gzip
import json
import resource
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from clients.transports import (
    Wire,
    WireBroken,
    WireConnectError,
    WireError,
    WireResponse,
    WireTooLarge,
)
from tests.clients.transports.conftest import MakeWire
from tests.testkit.certificates import Certificates
from tests.testkit.raw_server import Connection, Handler, raw_server

LIMIT = 1_000_000
PATIENCE_S = 10
SOON_S = 0.2  # how long a caller waits that is meant to give up


async def send(
    wire: Wire,
    url: str,
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    body: bytes | None = b"{}",
    limit: int = LIMIT,
) -> WireResponse:
    async with asyncio.timeout(PATIENCE_S):
        return await wire.send(method, url, headers or {}, body, max_body_bytes=limit)


def answering(*answers: bytes) -> Handler:
    """Each request on a connection is answered with the next of `answers`, then the connection is closed."""

    async def handle(connection: Connection) -> None:
        for answer in answers:
            await connection.request()
            await connection.send(answer)

    return handle


async def always_ok(connection: Connection) -> None:
    while True:
        await connection.request()
        await connection.send(answer(b"ok"))


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def silent(connection: Connection) -> None:
    await connection.until_closed()


async def dripping(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
    await connection.until_closed()


async def headers_only(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    await connection.until_closed()


async def resetting(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    connection.reset()


async def resetting_at_once(connection: Connection) -> None:
    await connection.request()
    connection.reset()


@pytest.fixture
def uvicorn_url() -> Iterator[str]:
    """A real server that answers with what it was asked, in a thread with a loop of its own."""

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        told = {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode(),
            "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
            "body": body.decode(),
        }
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-seen", b"yes")]})
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})

    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        server = uvicorn.Server(uvicorn.Config(echo, lifespan="off", ws="none", log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


async def test_carries_a_request_there_and_an_answer_back(make_wire: MakeWire, uvicorn_url: str) -> None:
    response = await send(
        make_wire(), f"{uvicorn_url}/graphql?a=b%20c", headers={"X-Mine": "1", "content-type": "application/json"}
    )
    told = json.loads(response.body)
    assert response.status == 201
    assert response.headers["x-seen"] == "yes"
    assert (told["method"], told["path"], told["query"], told["body"]) == ("POST", "/graphql", "a=b%20c", "{}")
    assert told["headers"]["x-mine"] == "1"
    assert told["headers"]["content-type"] == "application/json"


async def test_says_who_it_is_and_nothing_more(make_wire: MakeWire, uvicorn_url: str) -> None:
    told = json.loads((await send(make_wire(), uvicorn_url)).body)
    assert told["headers"].pop("user-agent") == "breakwater"
    assert set(told["headers"]) <= {"host", "accept", "accept-encoding", "content-length", "connection"}


async def test_a_callers_own_user_agent_wins(make_wire: MakeWire, uvicorn_url: str) -> None:
    told = json.loads((await send(make_wire(), uvicorn_url, headers={"user-agent": "mine"})).body)
    assert told["headers"]["user-agent"] == "mine"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_carries_any_method(make_wire: MakeWire, uvicorn_url: str, method: str) -> None:
    told = json.loads((await send(make_wire(), uvicorn_url, method=method, body=None)).body)
    assert (told["method"], told["body"]) == (method, "")


async def test_a_hundred_at_once(make_wire: MakeWire, uvicorn_url: str) -> None:
    wire = make_wire()
    answers = await asyncio.gather(*(send(wire, uvicorn_url, body=b"%d" % n) for n in range(100)))
    assert [json.loads(a.body)["body"] for a in answers] == [str(n) for n in range(100)]


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "429 Too Many Requests", "503 Unavailable"])
async def test_every_status_is_an_answer(make_wire: MakeWire, status: str) -> None:
    async with raw_server(answering(answer(b"body", "Retry-After: 7", status=status))) as server:
        response = await send(make_wire(), server.url)
    assert (response.status, response.body, response.headers["retry-after"]) == (int(status[:3]), b"body", "7")


async def test_an_answer_may_have_no_body(make_wire: MakeWire) -> None:
    async with raw_server(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as server:
        response = await send(make_wire(), server.url, method="DELETE", body=None)
    assert (response.status, response.body) == (204, b"")


async def test_a_redirect_is_not_followed(make_wire: MakeWire) -> None:
    async with (
        raw_server(answering(answer(b"secret"))) as target,
        raw_server(answering(answer(b"", f"Location: {target.url}", status="302 Found"))) as server,
    ):
        response = await send(make_wire(), server.url)
        assert (response.status, response.headers["location"]) == (302, target.url)
        assert target.accepted == 0


async def test_cookies_are_not_kept(make_wire: MakeWire) -> None:
    seen = []

    async def handle(connection: Connection) -> None:
        for _ in range(2):
            seen.append((await connection.request()).headers)
            await connection.send(answer(b"", "Set-Cookie: session=1; Path=/"))

    async with raw_server(handle) as server:
        wire = make_wire()
        await send(wire, server.url)
        await send(wire, server.url)
    assert ["cookie" in headers for headers in seen] == [False, False]
    assert ["referer" in headers for headers in seen] == [False, False]


async def test_headers_given_twice_are_joined_and_unreadable_ones_do_no_harm(make_wire: MakeWire) -> None:
    async with raw_server(answering(answer(b"ok", "X-Twice: 1", "X-Odd: caf\xe9", "x-twice: 2"))) as server:
        response = await send(make_wire(), server.url)
    assert response.body == b"ok"
    assert response.headers["x-twice"] == "1, 2"


async def test_a_connection_is_used_again(make_wire: MakeWire) -> None:
    async with raw_server(answering(*[answer(b"ok")] * 3)) as server:
        wire = make_wire()
        for _ in range(3):
            assert (await send(wire, server.url)).body == b"ok"
        assert server.accepted == 1


async def test_a_chunked_answer(make_wire: MakeWire) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    async with raw_server(answering(chunked)) as server:
        assert (await send(make_wire(), server.url)).body == b"abcdefg"


@pytest.mark.parametrize(("encoding", "packed"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_answer(make_wire: MakeWire, encoding: str, packed: Any) -> None:
    body = b"x" * 200_000
    async with raw_server(answering(answer(packed(body), f"Content-Encoding: {encoding}"))) as server:
        response = await send(make_wire(), server.url)
    assert response.body == body
    assert "content-encoding" not in response.headers
    assert "content-length" not in response.headers


async def test_nothing_listens(make_wire: MakeWire) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(WireConnectError):
        await send(make_wire(), f"http://127.0.0.1:{port}")


async def test_no_such_host(make_wire: MakeWire) -> None:
    with pytest.raises(WireConnectError):
        await send(make_wire(), "http://no-such-host.invalid/")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://", "no url at all", "http://127.0.0.1:99999/"])
async def test_what_is_no_url_is_not_sent(make_wire: MakeWire, url: str) -> None:
    with pytest.raises(WireConnectError):
        await send(make_wire(), url)


@pytest.mark.parametrize("headers", [{"x": "a\r\ny: b"}, {"x\n": "a"}, {"": "a"}])
async def test_what_is_no_header_is_not_sent(make_wire: MakeWire, headers: dict[str, str]) -> None:
    async with raw_server(answering(answer(b"ok"))) as server:
        with pytest.raises(WireConnectError):
            await send(make_wire(), server.url, headers=headers)
        assert server.accepted == 0


BROKEN = {
    "closed before the answer": answering(b""),
    "reset before the answer": resetting_at_once,
    "reset in the body": resetting,
    "shorter than promised": answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"),
    "head cut off": answering(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "head without end": answering(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2_000_000),
    "not HTTP": answering(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "bad chunk": answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc"),
    "last chunk missing": answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    "not gzip": answering(answer(b"abc", "Content-Encoding: gzip")),
    "gzip cut off": answering(answer(gzip.compress(b"x" * 5000)[:-9], "Content-Encoding: gzip")),
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_answer_is_told_from_a_failed_connection(make_wire: MakeWire, fault: str) -> None:
    wire = make_wire()
    async with raw_server(BROKEN[fault]) as server:
        with pytest.raises(WireBroken):
            await send(wire, server.url)
        await server.until(lambda s: s.open == 0)
    async with raw_server(answering(answer(b"ok"))) as server:
        assert (await send(wire, server.url)).body == b"ok"


@pytest.mark.parametrize("fault", ["refused", "bad header", *BROKEN])
async def test_an_error_says_nothing_that_is_secret(make_wire: MakeWire, fault: str) -> None:
    headers = {"authorization": "Bearer hush", "x": "hush\n" if fault == "bad header" else "hush"}
    async with raw_server(BROKEN.get(fault, silent)) as server:
        port = 1 if fault == "refused" else server.port
        with pytest.raises(WireError) as caught:
            await send(make_wire(), f"http://hush:hush@127.0.0.1:{port}/?key=hush", headers=headers)
    error: BaseException | None = caught.value
    assert "hush" not in str(error)
    assert str(error)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__  # the library's own words, which may quote the URL, stay out of logs


async def test_the_limit_is_the_last_size_accepted(make_wire: MakeWire) -> None:
    async with raw_server(answering(answer(b"x" * 1000), answer(b"x" * 1001))) as server:
        wire = make_wire()
        assert len((await send(wire, server.url, limit=1000)).body) == 1000
        with pytest.raises(WireTooLarge):
            await send(wire, server.url, limit=1000)


async def test_an_endless_answer_is_cut_off(make_wire: MakeWire) -> None:
    async def endless(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await connection.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    async with raw_server(endless) as server:
        with pytest.raises(WireTooLarge):
            await send(make_wire(), server.url)
        await server.until(lambda s: s.open == 0)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_bomb_is_stopped_before_it_fills_memory(make_wire: MakeWire, encoding: str) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(100)) + packer.flush()

    async def handle(connection: Connection) -> None:
        await connection.request()
        await connection.send(answer(bomb, f"Content-Encoding: {encoding}"))
        await connection.until_closed()

    async with raw_server(handle) as server:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(WireTooLarge):
            await send(make_wire(), server.url)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB; the bomb holds 100 MB
        await server.until(lambda s: s.open == 0)


async def large_and_stalled(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 300_000)
    await connection.until_closed()


async def test_a_large_answer_that_is_cancelled_is_dropped_at_once(make_wire: MakeWire) -> None:
    wire = make_wire(give_up_s=1000.0)
    async with raw_server(large_and_stalled) as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON_S):
                await send(wire, server.url)
        await server.until(lambda s: s.accepted == 1 and s.open == 0)


@pytest.mark.parametrize("handler", [headers_only, dripping])
async def test_a_cancelled_answer_leaves_no_connection_and_no_task(make_wire: MakeWire, handler: Handler) -> None:
    wire = make_wire(give_up_s=1.0)
    async with raw_server(handler) as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON_S):
                await send(wire, server.url)
        await server.until(lambda s: s.accepted == 1 and s.open == 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cancelled_wait_for_an_answer_leaves_nothing_once_the_wire_gives_up(make_wire: MakeWire) -> None:
    wire = make_wire(give_up_s=1.0, max_connections=1)
    async with raw_server(silent) as server, raw_server(answering(answer(b"ok"))) as other:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON_S):
                await send(wire, server.url)
        assert (await send(wire, other.url)).body == b"ok"  # its place in the pool is free at once
        await server.until(lambda s: s.accepted == 1 and s.open == 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_wire_gives_up_when_its_caller_does_not(make_wire: MakeWire) -> None:
    async with raw_server(silent) as server:
        with pytest.raises(WireBroken):
            await send(make_wire(give_up_s=SOON_S), server.url)
        await server.until(lambda s: s.open == 0)


async def test_a_full_pool_makes_callers_wait_and_recovers(make_wire: MakeWire) -> None:
    released = asyncio.Event()
    asked: list[bytes] = []

    async def held(connection: Connection) -> None:
        while True:
            asked.append((await connection.request()).body)
            await released.wait()
            await connection.send(answer(b"ok"))

    async with raw_server(held) as server:
        wire = make_wire(max_connections=2)
        first = [asyncio.create_task(send(wire, server.url, body=b"first")) for _ in range(2)]
        await server.until(lambda s: s.accepted == 2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON_S):
                await send(wire, server.url, body=b"gave up")
        later = [asyncio.create_task(send(wire, server.url, body=b"later")) for _ in range(4)]
        released.set()
        assert {(await task).body for task in (*first, *later)} == {b"ok"}
        assert server.accepted == 2
    assert sorted(asked) == [b"first"] * 2 + [b"later"] * 4


async def test_hundreds_of_cancelled_callers_leave_the_pool_whole(make_wire: MakeWire) -> None:
    wire = make_wire(max_connections=3, give_up_s=1.0)
    async with raw_server(dripping) as server:
        callers = [asyncio.create_task(send(wire, server.url)) for _ in range(200)]
        await server.until(lambda s: s.accepted == 3)
        for caller in callers:
            caller.cancel()
        results = await asyncio.gather(*callers, return_exceptions=True)
        assert {type(result) for result in results} == {asyncio.CancelledError}
        await server.until(lambda s: s.open == 0)
        assert server.accepted == 3
    async with raw_server(always_ok) as server:
        answers = await asyncio.gather(*(send(wire, server.url) for _ in range(10)))
        assert {a.body for a in answers} == {b"ok"}


async def test_proxies_of_the_environment_are_not_used(make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(answering(answer(b"proxy"))) as proxy, raw_server(answering(answer(b"direct"))) as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert (await send(make_wire(), server.url)).body == b"direct"
        assert proxy.accepted == 0


async def test_a_closed_wire_holds_no_connection_and_sends_nothing(make_wire: MakeWire) -> None:
    async def handle(connection: Connection) -> None:
        await connection.request()
        await connection.send(answer(b"ok"))
        await connection.until_closed()

    async with raw_server(handle) as server:
        wire = make_wire(idle_s=1000.0)
        await send(wire, server.url)
        assert server.open == 1
        await wire.aclose()
        await server.until(lambda s: s.open == 0)
        with pytest.raises(WireConnectError):
            await send(wire, server.url)
        assert server.accepted == 1
        await wire.aclose()


async def test_closing_ends_what_is_under_way(make_wire: MakeWire) -> None:
    wire = make_wire(give_up_s=1.0)
    async with raw_server(silent) as server:
        under_way = asyncio.create_task(send(wire, server.url))
        await server.until(lambda s: s.accepted == 1)
        await wire.aclose()
        with pytest.raises(WireBroken):
            await under_way
        await server.until(lambda s: s.open == 0)


def tls(pem: Path, authority: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    context.load_cert_chain(pem)
    if authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_trusted_certificate(make_wire: MakeWire, certificates: Certificates) -> None:
    async with raw_server(answering(answer(b"ok")), tls=tls(certificates.server)) as server:
        wire = make_wire(ca_files=(certificates.authority,))
        assert (await send(wire, server.url)).body == b"ok"


async def test_an_authority_late_in_a_bundle_is_trusted(
    make_wire: MakeWire, certificates: Certificates, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(certificates.client.read_bytes() + b"# a comment\n" + certificates.authority.read_bytes())
    async with raw_server(answering(answer(b"ok")), tls=tls(certificates.server)) as server:
        assert (await send(make_wire(ca_files=(bundle,)), server.url)).body == b"ok"


@pytest.mark.parametrize("which", ["untrusted", "elsewhere", "expired"])
async def test_a_bad_certificate_is_refused(make_wire: MakeWire, certificates: Certificates, which: str) -> None:
    pem = {"untrusted": certificates.server, "elsewhere": certificates.elsewhere, "expired": certificates.expired}
    trusted = () if which == "untrusted" else (certificates.authority,)
    asked = []

    async def handle(connection: Connection) -> None:
        asked.append(await connection.request())

    async with raw_server(handle, tls=tls(pem[which])) as server:
        with pytest.raises(WireConnectError):
            await send(make_wire(ca_files=trusted), server.url)
    assert asked == []


async def test_a_client_certificate_is_shown_to_those_who_ask(make_wire: MakeWire, certificates: Certificates) -> None:
    async with raw_server(answering(answer(b"ok")), tls=tls(certificates.server, certificates.authority)) as server:
        wire = make_wire(
            ca_files=(certificates.authority,),
            client_cert_file=certificates.client,
            client_key_file=certificates.client_key,
        )
        assert (await send(wire, server.url)).body == b"ok"
        with pytest.raises(WireError):
            await send(make_wire(ca_files=(certificates.authority,)), server.url)


async def test_a_file_that_holds_no_certificate_is_told_at_once(make_wire: MakeWire, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    with pytest.raises((ValueError, OSError)):
        make_wire(ca_files=(empty,))
    with pytest.raises(FileNotFoundError):
        make_wire(ca_files=(tmp_path / "missing.pem",))
