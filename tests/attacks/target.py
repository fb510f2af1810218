"""The gateway under attack: `gateway serve` in a process of its own, in production mode, asked with raw bytes."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.testkit.gateway import ACCOUNTS, CUSTOMERS, INVOICES
from tests.testkit.ports import free_port
from tests.testkit.processes import GATEWAY
from tests.testkit.upstream import ScriptedUpstream

CANARY = "canary-5f2c9d-do-not-tell"
"""A secret: in an upstream's URL and headers, and in what upstreams and resolvers say when they fail."""
PATIENCE_S = 20.0
GRAPHQL_RESPONSE = b"application/graphql-response+json"
_START_S = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response as it came; status 0 where the connection was closed without one."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def codes(self) -> set[str]:
        """The codes of a GraphQL answer's errors."""
        try:
            errors = json.loads(self.body).get("errors", [])
        except (ValueError, AttributeError):
            return set()
        return {error.get("extensions", {}).get("code", "") for error in errors}


CLOSED = Reply(0)


def post(body: bytes, *headers: bytes, target: bytes = b"/graphql") -> bytes:
    """A POST request; `headers` beside the usual, or in their place."""
    lines = {
        b"host": b"gateway.test",
        b"content-type": b"application/json",
        b"accept": GRAPHQL_RESPONSE,
        b"content-length": b"%d" % len(body),
    }
    for header in headers:
        name, _, value = header.partition(b":")
        lines[name.strip().lower()] = value.strip()
    head = b"".join(b"%s: %s\r\n" % line for line in lines.items())
    return b"POST %s HTTP/1.1\r\n%s\r\n%s" % (target, head, body)


def get(target: str, *headers: str) -> bytes:
    """A GET request."""
    lines = ["host: gateway.test", f"accept: {GRAPHQL_RESPONSE.decode()}", *headers]
    return f"GET {target} HTTP/1.1\r\n{''.join(line + chr(13) + chr(10) for line in lines)}\r\n".encode()


def query(text: str, **more: object) -> bytes:
    """A GraphQL request."""
    return post(json.dumps({"query": text, **more}).encode())


class Target:
    """A running gateway.

    Attributes:
        port: of 127.0.0.1.
        log: everything it wrote.
        upstreams: the services behind it.
    """

    def __init__(self, port: int, process: asyncio.subprocess.Process, log: Path) -> None:
        self.port = port
        self.log = log
        self.upstreams: dict[str, ScriptedUpstream] = {}
        self._process = process

    @property
    def calls(self) -> int:
        """Calls that its upstreams got."""
        return sum(len(e.calls) for u in self.upstreams.values() for e in (u.graphql, u.rest))

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.returncode is None

    def cpu_ms(self) -> float:
        """Processor time of all its threads so far."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e6

    def rss_bytes(self) -> int:
        """Memory that it holds."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    async def send(self, *pieces: bytes, replies: int = 1, end: bool = False) -> list[Reply]:
        """Write to a new connection, and read as many replies; fewer where it is closed before.

        Args:
            pieces: written one by one, as long as the other side reads.
            replies: how many are waited for.
            end: half-close after the last piece.
        """
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writing = asyncio.create_task(_write(writer, pieces, end=end))
            found = []
            try:
                for _ in range(replies):
                    reply = await read_reply(reader)
                    found.append(reply)
                    if reply is CLOSED:
                        break
            finally:
                writing.cancel()
                writer.transport.abort()
            return found

    async def healthy(self) -> bool:
        """Whether it is alive, and answers a small query with data."""
        [live] = await self.send(get("/health/live"))
        [answer] = await self.send(query("{ invoices(first: 1) { id } }"))
        return (live.status, answer.status, answer.body) == (200, 200, b'{"data":{"invoices":[{"id":"1"}]}}')

    def troubles(self, since: int = 0) -> list[str]:
        """Log lines, from that byte on, that say that something failed that nobody foresaw."""
        lines = self.log.read_bytes()[since:].decode("utf-8", "replace").splitlines()
        return [line for line in lines if any(sign in line for sign in _SIGNS)]

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the process."""
        self._process.send_signal(number)

    async def stop(self) -> None:
        """Tell the process to end at once, and wait for it."""
        if self.alive:
            self._process.send_signal(signal.SIGINT)  # no grace period
        await self.wait()

    async def wait(self) -> None:
        """Wait for the process to end by itself."""
        async with asyncio.timeout(_START_S):
            await self._process.wait()


_SIGNS = ("Traceback", '"level": "error"', '"level":"error"', "INTERNAL_SERVER_ERROR", "Exception in")


async def _write(writer: asyncio.StreamWriter, pieces: Iterable[bytes], *, end: bool) -> None:
    with suppress(OSError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if end:
            writer.write_eof()


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """The next response of a connection; CLOSED where it ends before one is whole."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in rest)}
        return Reply(int(line.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", "0"))))
    except (asyncio.IncompleteReadError, OSError):
        return CLOSED


@asynccontextmanager
async def target(
    folder: Path,
    modules: Sequence[str] = ("schema.customers", "schema.invoices"),
    policy: Mapping[str, object] | None = None,
    **server: object,
) -> AsyncIterator[Target]:
    """A gateway with healthy upstreams in its default configuration.

    Args:
        folder: for its file and its log.
        modules: of its schema.
        policy: keys of every service that are not to be the default.
        server: those of `server:`.
    """
    async with AsyncExitStack() as stack:
        upstreams = {
            "customers": await stack.enter_async_context(ScriptedUpstream(CUSTOMERS)),
            "invoices": await stack.enter_async_context(ScriptedUpstream(INVOICES, collection="invoices")),
            "bank": await stack.enter_async_context(
                ScriptedUpstream(ACCOUNTS, collection="accounts", key="customerId")
            ),
        }
        services = {
            name: {
                **({} if name == "bank" else {"graphql": f"{upstream.graphql.url}?key={CANARY}"}),
                "rest": upstream.rest.url,
                "retry": {"attempts": 1},
                "headers": {"x-api-key": CANARY},
                **(policy or {}),
            }
            for name, upstream in upstreams.items()
        }
        config = {"imports": list(modules), "server": server, "services": services}
        running = await stack.enter_async_context(serving(folder, config))
        running.upstreams = upstreams
        yield running


@asynccontextmanager
async def serving(folder: Path, config: Mapping[str, object]) -> AsyncIterator[Target]:
    """`gateway serve` of a configuration, until the end of the block; it ends without a grace period."""
    file, log = folder / "gateway.yaml", folder / "gateway.log"
    file.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    running = await start(file, free_port(), log)
    try:
        yield running
    finally:
        await running.stop()


async def start(file: Path, port: int, log: Path) -> Target:
    """A gateway of a configuration, on a port, once it is ready; whoever starts it stops it."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *GATEWAY, "serve", "--config", str(file), "--port", str(port), stdout=output, stderr=output
        )
    running = Target(port, process, log)
    try:
        await _until_ready(running)
    except BaseException:
        await running.stop()
        raise
    return running


async def _until_ready(running: Target) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with suppress(OSError):
            if (await running.send(get("/health/ready")))[0].status == 200:
                return
        if not running.alive or time.monotonic() > deadline:
            raise RuntimeError(f"the gateway does not start: {running.log.read_text()}")
        await asyncio.sleep(0.1)
