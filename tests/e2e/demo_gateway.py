"""The demo's upstreams and its gateway on free ports, in the test's own event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from demo.faults import Fault, Mode
from demo.run import ANY_PORTS, Demo, serve_demo
from gateway.app import create_app
from gateway.config import parse
from tests.testkit.serve import TestServer, serve

_FILE = Path(__file__).parents[2] / "demo" / "gateway.yaml"


@dataclass(frozen=True, slots=True)
class DemoGateway:
    """Both, running."""

    server: TestServer
    demo: Demo
    http: httpx.AsyncClient

    async def break_(self, target: str, mode: Mode = Mode.ERROR) -> None:
        """As `gateway demo break` does."""
        self.demo.board.set(target, Fault(mode=mode))
        await self.demo.apply()

    async def mend(self, target: str) -> None:
        """As `gateway demo mend` does."""
        self.demo.board.clear(target)
        await self.demo.apply()

    async def ask(self, query: str) -> dict[str, Any]:
        """POST a query."""
        answer: dict[str, Any] = (await self.http.post("/graphql", json={"query": query})).json()
        return answer


@asynccontextmanager
async def demo_gateway(**differences: dict[str, Any]) -> AsyncIterator[DemoGateway]:
    """The demo as `gateway demo` serves it; `differences` are merged into the entries of its services."""
    async with serve_demo(ANY_PORTS) as demo:
        config = yaml.safe_load(_FILE.read_text("utf-8"))
        for name, entry in differences.items():
            config["services"][name] |= entry
        config["server"] = {"max_loop_lag_s": None}
        environment = {f"{name.upper()}_URL": url for name, url in demo.urls.items()}
        app = create_app(parse(yaml.safe_dump(config, sort_keys=False), environment))
        async with (
            serve(app) as server,
            httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=20) as http,
        ):
            yield DemoGateway(server, demo, http)
