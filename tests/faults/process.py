"""A gateway in a process of its own: asked over HTTP, and looked at from outside."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import yaml

from clients.call import ProtocolName
from clients.transports import PyreqwestWire, WireError, WireOptions
from tests.faults.fields import SERVICES
from tests.testkit.ports import free_port
from tests.testkit.processes import GATEWAY

START_S = 60.0
_POLL_S = 0.05
_LARGEST = 10_000_000
_CIRCUITS = """{ upstreams { name circuits {
  protocol state reason trips refused lastError { code } history { state at }
} } }"""


@dataclass(frozen=True, slots=True)
class Field:
    """How one service's field was answered.

    Attributes:
        by: GRAPHQL, REST, FRESH or STALE; FAILED for an error, WRONG for a value that is not the row's.
        reason: the error's code, or why it was served as it was.
    """

    by: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One request of a client.

    Attributes:
        fields: by service; empty when there was no answer with data.
        status: HTTP status; None when the connection broke.
    """

    took_s: float
    status: int | None
    fields: Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class CircuitSeen:
    """A circuit, as `upstreams` shows it."""

    state: str
    reason: str
    trips: int
    last_error: str | None
    opened_at: tuple[float, ...]


def text_of(service: str, key: str) -> str:
    """What a row says: long enough to be cut in the middle."""
    return f"{service} {key} " + "." * 600


class GatewayProcess:
    """`gateway serve` on a free port. An async context manager: ready inside, stopped and checked after.

    Attributes:
        url: without a slash at its end.
        returned: the exit status, once it has ended.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        folder: Path,
        *,
        command: Sequence[str] = (*GATEWAY, "serve"),
        environment: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        """Prepare a gateway.

        Args:
            config: becomes its gateway.yaml.
            folder: for that file and its log.
            command: what takes `--config` and `--port`.
            environment: added to this process's.
            port: default: a free one.
        """
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.returned: int | None = None
        self._config = config
        self._command = command
        self._environment = dict(environment or {})
        self._file = folder / f"gateway-{self.port}.yaml"
        self._log = folder / f"gateway-{self.port}-{time.monotonic_ns()}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._wire = PyreqwestWire(WireOptions(max_connections=5_000, give_up_s=60))

    @property
    def pid(self) -> int:
        """Of the process."""
        if self._process is None:
            raise RuntimeError("the gateway is not running")
        return self._process.pid

    async def prime(self, services: Iterable[str]) -> None:
        """Have the document of `ask` parsed and validated, without a call to any service."""
        await self.post(_document(services), id="0", ask=False)

    async def ask(self, services: Iterable[str], key: str) -> Sample:
        """One row of each service, in one request."""
        asked = list(services)
        began = time.monotonic()
        status, body = await self.post(_document(asked), id=key)
        took_s = time.monotonic() - began
        return Sample(took_s, status, _fields(asked, key, body) if body.get("data") else {})

    async def post(self, query: str, **variables: Any) -> tuple[int | None, dict[str, Any]]:
        """Status and body of an operation's answer; None and nothing when the connection broke."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"content-type": "application/json", "accept": "application/json"}
        try:
            response = await self._wire.send("POST", f"{self.url}/graphql", headers, body, max_body_bytes=_LARGEST)
        except WireError:
            return None, {}
        decoded: dict[str, Any] = json.loads(response.body)
        return response.status, decoded

    async def circuits(self) -> dict[tuple[str, ProtocolName], CircuitSeen]:
        """Every circuit, by service and protocol."""
        _, body = await self.post(_CIRCUITS)
        return {
            (upstream["name"], ProtocolName[circuit["protocol"]]): CircuitSeen(
                circuit["state"],
                circuit["reason"],
                circuit["trips"],
                (circuit["lastError"] or {}).get("code"),
                tuple(
                    datetime.fromisoformat(change["at"]).timestamp()
                    for change in circuit["history"]
                    if change["state"] == "OPEN"
                ),
            )
            for upstream in body["data"]["upstreams"]
            for circuit in upstream["circuits"]
        }

    async def tasks(self) -> int:
        """Tasks in its event loop."""
        _, body = await self.post("{ tasks }")
        count: int = body["data"]["tasks"]
        return count

    async def blocks(self) -> int:
        """Pieces of memory that its objects are in."""
        _, body = await self.post("{ blocks }")
        count: int = body["data"]["blocks"]
        return count

    def connections(self, ports: Iterable[int]) -> int:
        """Its connections to these ports."""
        wanted = set(ports)
        return sum(
            1
            for connection in psutil.Process(self.pid).net_connections("tcp")
            if connection.raddr and connection.raddr.port in wanted
        )

    def rss_mb(self) -> float:
        """Its memory."""
        rss: int = psutil.Process(self.pid).memory_info().rss
        return rss / 1e6

    def failed_attempts(self) -> Counter[tuple[str, ProtocolName]]:
        """Attempts that failed, by its log: where the network lets nothing be counted."""
        found: Counter[tuple[str, ProtocolName]] = Counter()
        for line in self.log().splitlines():
            if '"attempt failed"' in line:
                event = json.loads(line)
                found[event["service"], ProtocolName(event["protocol"])] += 1
        return found

    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    async def start(self) -> None:
        """Start it, and return once it is ready.

        Raises:
            RuntimeError: it ended instead, with what it said.
        """
        self._file.write_text(yaml.safe_dump(dict(self._config), sort_keys=False), encoding="utf-8")
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                *("--config", str(self._file), "--port", str(self.port)),
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
            )
        async with asyncio.timeout(START_S):
            while not await self._ready():
                if self._process.returncode is not None:
                    raise RuntimeError(f"the gateway did not start:\n{self.log()}")
                await asyncio.sleep(_POLL_S)

    async def _ready(self) -> bool:
        try:
            response = await self._wire.send("GET", f"{self.url}/health/ready", {}, None, max_body_bytes=_LARGEST)
        except WireError:
            return False
        return response.status == 200

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def ended(self) -> int:
        """Its exit status, once it has ended."""
        if self._process is None:
            raise RuntimeError("the gateway is not running")
        async with asyncio.timeout(START_S):
            self.returned = await self._process.wait()
        return self.returned

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._wire.aclose()
        if self._process is not None:
            self.signal(signal.SIGTERM)
            try:
                await self.ended()
            except TimeoutError:
                self.signal(signal.SIGKILL)
                await self.ended()


def _document(services: Iterable[str]) -> str:
    fields = " ".join(f"{SERVICES[name]}(id: $id) @include(if: $ask) {{ text }}" for name in services)
    return f"query ($id: ID!, $ask: Boolean = true) {{ {fields} }}"


def _fields(asked: Sequence[str], key: str, body: Mapping[str, Any]) -> dict[str, Field]:
    failed = {
        e["path"][0]: e.get("extensions", {}).get("code", "NONE") for e in body.get("errors", []) if e.get("path")
    }
    noted = {note["service"]: note for note in body.get("extensions", {}).get("upstreams", [])}
    fields = {}
    for service in asked:
        name = SERVICES[service]
        row = body["data"].get(name)
        if name in failed:
            fields[service] = Field("FAILED", failed[name])
        elif row is None or row["text"] != text_of(service, key):
            fields[service] = Field("WRONG")
        elif service in noted:
            fields[service] = Field(noted[service]["servedBy"], noted[service]["reason"])
        else:
            fields[service] = Field("GRAPHQL")
    return fields
