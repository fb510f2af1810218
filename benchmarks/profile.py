"""Where the time of a federated query goes: CPU for each layer, from the socket to the wire and back.

    .venv/bin/python -m benchmarks.profile [--requests 2000] [--rounds 5]

Each row is a difference: the same request through one layer more, 50 at once, nothing shared among them (each has a
credential of its own). There is no socket: the endpoint is called as a server calls it, and upstreams answer at once.
The best round counts.
"""

import argparse
import asyncio
import dataclasses
import os
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Self

import msgspec
import uvloop

from clients.clock import SystemClock
from clients.hooks import NoHooks
from clients.transports.base import WireResponse
from gateway import collector
from gateway.config import Config, parse
from gateway.execution import Asked, Executed
from gateway.federation.composition import Subgraph, compose
from gateway.federation.engine import FederationEngine
from gateway.federation.executor import Received, SubgraphRequest, SubgraphResponse
from gateway.http.documents import DocumentCache
from gateway.http.endpoint import Answer, Exchange, GraphQLEndpoint, Handler, encode
from gateway.identity import CredentialIdentifier, request_id
from gateway.identity.proxies import Proxies
from gateway.pipeline import OperationPipeline
from gateway.runtime import Parts, Runtime, load_schema, open_runtime
from gateway.subscriptions.source import Source
from gateway.telemetry import logs
from gateway.telemetry.requests import RequestLog

AT_ONCE = 50
SMALL = "{ me { id name username } }"
HEAVY = """{
  topProducts { upc name price reviews { id body author { id name reviews { id body product { upc name price } } } } }
}"""
_LINK = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])\n'
_ENTITIES = re.compile(r"(?:(\w+): ?)?_entities\(representations: ?\$(\w+)\)")
SUBGRAPHS = {
    "accounts": 'type Query { me: User } type User @key(fields: "id") { id: ID! name: String username: String }',
    "products": 'type Query { topProducts: [Product] } type Product @key(fields: "upc") '
    "{ upc: String! name: String price: Int }",
    "reviews": 'type Review @key(fields: "id") { id: ID! body: String product: Product author: User } '
    'type User @key(fields: "id") { id: ID! reviews: [Review] } '
    'type Product @key(fields: "upc") { upc: String! reviews: [Review] }',
}


def _user(number: int) -> dict[str, Any]:
    return {"__typename": "User", "id": str(number % 6), "name": f"User {number % 6}", "username": f"user{number % 6}"}


def _product(number: int) -> dict[str, Any]:
    return {"__typename": "Product", "upc": str(number % 9), "name": f"Product {number % 9}", "price": 899}


def _review(number: int) -> dict[str, Any]:
    return {"__typename": "Review", "id": str(number), "body": "lorem ipsum dolor sit amet " * 10}


def _answer(body: bytes) -> bytes:
    """What a subgraph says; more fields than were asked for do no harm here."""
    asked = msgspec.json.decode(body)
    data: dict[str, Any] = {"me": _user(1), "topProducts": [_product(number) for number in range(5)]}
    for key, variable in _ENTITIES.findall(asked["query"]):
        data[key or "_entities"] = [_entity(each) for each in asked["variables"][variable]]
    return msgspec.json.encode({"data": data})


def _entity(representation: Mapping[str, Any]) -> dict[str, Any]:
    number = int(representation.get("id", representation.get("upc", 0)))
    found = _product(number) if representation["__typename"] == "Product" else _user(number)
    written = [{**_review(i), "product": _product(i)} for i in range(number, number + 3)]
    return {**found, "reviews": [{**each, "author": {**_user(number), "reviews": written}} for each in written]}


class ReplayingWire:
    """An upstream that answers at once."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def reply(self, body: bytes) -> bytes:
        """The answer to a request, made once."""
        if body not in self._known:
            self._known[body] = _answer(body)
        return self._known[body]

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_body_bytes: int
    ) -> WireResponse:
        """See `Wire`."""
        await asyncio.sleep(0)
        return WireResponse(200, {}, self.reply(body or b""))

    async def aclose(self) -> None:
        """Nothing."""


class ReplayingFetcher:
    """As the wire, without the pipeline of an upstream."""

    def __init__(self, wire: ReplayingWire) -> None:
        self._replies: dict[tuple[str, int], bytes] = {}
        self._wire = wire
        self.decoded = 0.0  # seconds of all decoding, when it is timed

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        """See `SubgraphFetcher`; a compiled operation does not come here."""
        raise NotImplementedError

    async def fetch_typed(self, request: SubgraphRequest, shape: Any) -> Received:
        """See `TypedFetcher`."""
        await asyncio.sleep(0)
        key = (request.document, request.id)
        text = self._replies.get(key)
        if text is None:
            body = {"query": request.document, "variables": dict(request.variables)}
            text = self._replies[key] = self._wire.reply(msgspec.json.encode(body))
        return Received(shape.decode_answer(text), SubgraphResponse)

    def decode_us(self, shapes: Mapping[int, Any], rounds: int) -> float:
        """Microseconds to decode the answers to one operation."""
        replies = [(shapes[number].decode_answer, text) for (_, number), text in self._replies.items()]
        return best_us(lambda: [decode(text) for decode, text in replies], rounds)


def best_us(work: Callable[[], object], rounds: int, times: int = 300) -> float:
    """Microseconds of CPU for one go."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - began) / times * 1e6)
    return min(found)


async def crowd_us(work: Callable[[], Awaitable[object]], requests: int, rounds: int) -> float:
    """Microseconds of CPU for one go, 50 at once, each in a task of its own."""
    found = []
    for _ in range(rounds + 1):
        began = time.process_time()
        for _ in range(requests // AT_ONCE):
            await asyncio.gather(*(asyncio.ensure_future(work()) for _ in range(AT_ONCE)))
        found.append((time.process_time() - began) / requests * 1e6)
    return min(found[1:])


class Constant:
    """An `Executable` that has executed already."""

    def __init__(self, documents: DocumentCache, data: Any) -> None:
        self.documents = documents
        self._executed = Executed(data)

    def current(self) -> Self:
        """See `Executor`."""
        return self

    async def execute(self, asked: Asked) -> Executed:
        """See `Executable`."""
        return self._executed

    async def subscribe(self, asked: Asked) -> Source:
        """See `Executable`."""
        raise NotImplementedError


class Layers:
    """One query through one layer after the other.

    Args:
        query: its text.
        config: of the runtime.
        runtime: over upstreams that answer at once.
        sdl: its supergraph.
        wire: the upstreams.
    """

    def __init__(self, query: str, config: Config, runtime: Runtime, sdl: str, wire: ReplayingWire) -> None:
        self._body = msgspec.json.encode({"query": query})
        self._config = config
        self._runtime = runtime
        self._fetcher = ReplayingFetcher(wire)
        self._engine = FederationEngine(sdl, self._fetcher)
        self._prepared = self._engine.prepared(query)
        self._serial = count()

    async def measure(self, requests: int, rounds: int) -> dict[str, float]:
        """Microseconds by layer."""
        ran = await self._engine.run(self._prepared)
        if "errors" in ran:
            raise RuntimeError(str(ran["errors"]))
        data = ran["data"]
        answer = Answer(data=data)
        log = RequestLog()
        identifier = CredentialIdentifier(self._config.identity, Proxies((), "x-forwarded-for"))
        supergraph = self._runtime.supergraph
        if supergraph is None:
            raise RuntimeError("there is no supergraph")
        constant = dataclasses.replace(self._runtime, executor=Constant(supergraph.snapshot.documents, data))

        async def known(_: Exchange) -> Answer:
            return answer

        program = self._prepared.program({})
        if isinstance(program, str):
            raise TypeError(f"not compiled: {program}")
        shapes = {step.request.id: step.shape for group in program.groups for step in group}
        encode_us = best_us(lambda: encode(answer), rounds)
        decode_us = self._fetcher.decode_us(shapes, rounds)
        nothing_us = await crowd_us(lambda: asyncio.sleep(0), requests, rounds)
        run_us = await crowd_us(lambda: self._engine.run(self._prepared), requests, rounds) - nothing_us
        endpoint_us = await crowd_us(self._through(known), requests, rounds) - nothing_us
        piped = OperationPipeline(constant, identifier, log).handle
        pipeline_us = await crowd_us(self._through(piped), requests, rounds) - nothing_us
        whole = OperationPipeline(self._runtime, identifier, log).handle
        whole_us = await crowd_us(self._through(whole), requests, rounds) - nothing_us
        return {
            "endpoint: headers, body, parameters, response": endpoint_us - encode_us,
            "pipeline: document, caller, context, log": pipeline_us - endpoint_us,
            "running the plan": run_us - decode_us,
            "decoding subgraphs' answers": decode_us,
            "upstreams' pipelines": whole_us - pipeline_us - run_us,
            "encoding the answer": encode_us,
        }

    def _through(self, handler: Handler) -> Callable[[], Awaitable[None]]:
        """A request through the endpoint."""
        endpoint = GraphQLEndpoint(handler, on_error=_raise, request_id=request_id)
        length = str(len(self._body)).encode()

        body = {"type": "http.request", "body": self._body, "more_body": False}

        async def send(message: Any) -> None:
            if message.get("status", 200) != 200:
                raise RuntimeError(str(message))

        def ask() -> Awaitable[None]:
            messages = [body]

            async def receive() -> dict[str, Any]:
                return messages.pop() if messages else await asyncio.Event().wait()  # type: ignore[return-value]  # for ever

            headers = [
                (b"host", b"127.0.0.1:4000"),
                (b"content-type", b"application/json"),
                (b"content-length", length),
                (b"authorization", b"Bearer %d" % next(self._serial)),
            ]
            scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": headers}
            return endpoint({**scope, "client": ("127.0.0.1", 1)}, receive, send)

        return ask


def _raise(error: Exception, _: str) -> None:
    raise error


async def measure(requests: int, rounds: int) -> None:
    """Run and print."""
    composed = compose([Subgraph(name, f"http://{name}.test/", _LINK + sdl) for name, sdl in SUBGRAPHS.items()])
    sdl = composed.supergraph_sdl
    if sdl is None:
        raise RuntimeError(str(composed.errors))
    rows: dict[str, dict[str, float]] = {}
    wire = ReplayingWire()
    async with AsyncExitStack() as stack:
        file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "supergraph.graphql"
        file.write_text(sdl)
        off = ", ".join(f"{name}: {{ cache: {{ stale_if_error_s: 0 }} }}" for name in SUBGRAPHS)
        config = parse(f"federation: {{ supergraph: {file}, poll_interval_s: null }}\nservices: {{ {off} }}", {})
        parts = Parts(lambda _: wire, NoHooks(), SystemClock(), Random(0), _raise)
        runtime = await stack.enter_async_context(open_runtime(config, load_schema(config), parts))
        for name, query in (("small", SMALL), ("heavy", HEAVY)):
            rows[name] = await Layers(query, config, runtime, sdl, wire).measure(requests, rounds)
    print(f"{'µs of CPU':48}{'small':>8}{'heavy':>8}")
    for layer, small in rows["small"].items():
        print(f"{layer:48}{small:8.1f}{rows['heavy'][layer]:8.1f}")
    print(f"{'all':48}{sum(rows['small'].values()):8.1f}{sum(rows['heavy'].values()):8.1f}")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with Path(os.devnull).open("w") as nowhere:
        logs.configure(json=True, level="info", stream=nowhere)
        collector.tune()
        uvloop.run(measure(options.requests, options.rounds))


if __name__ == "__main__":
    main()
