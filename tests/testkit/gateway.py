"""A whole gateway on a socket, in front of scripted upstreams."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import yaml

from clients.clock import Clock
from gateway.app import create_app
from gateway.config import parse
from gateway.runtime import Wires, pyreqwest_wire
from tests.testkit.serve import TestServer, serve
from tests.testkit.upstream import ScriptedUpstream

CUSTOMERS = [
    {"id": str(i), "name": f"Customer {i}", "email": f"c{i}@example.org", "tier": "gold"} for i in range(1, 301)
]
INVOICES = [
    {
        "id": str(i),
        "number": f"INV-{i}",
        "total": i * 1.5,
        "currency": "EUR",
        "status": "open",
        "issuedOn": "2026-01-31",
        "customerId": str(i),
    }
    for i in range(1, 301)
]
ACCOUNTS = [
    {"customerId": str(i), "accountNumber": f"DE02120300000000{i:06}", "balance": i * 10.0, "currency": "EUR"}
    for i in range(1, 301)
]


@dataclass(frozen=True, slots=True)
class Answered:
    """A GraphQL answer with the HTTP response it came in."""

    response: httpx.Response
    body: dict[str, Any]

    @property
    def data(self) -> Any:
        """Its `data`."""
        return self.body["data"]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Its `errors`; empty when there are none."""
        return list(self.body.get("errors", []))

    @property
    def codes(self) -> list[str]:
        """The codes of its errors."""
        return [error["extensions"]["code"] for error in self.errors]

    @property
    def upstreams(self) -> list[dict[str, Any]]:
        """Its `extensions.upstreams`; empty when absent."""
        return list(self.body.get("extensions", {}).get("upstreams", []))


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway under test and its upstreams."""

    server: TestServer
    http: httpx.AsyncClient
    customers: ScriptedUpstream
    invoices: ScriptedUpstream
    bank: ScriptedUpstream

    async def ask(self, query: str, headers: Mapping[str, str] | None = None, **variables: Any) -> Answered:
        """POST a query."""
        response = await self.http.post(
            "/graphql", json={"query": query, "variables": variables}, headers=dict(headers or {})
        )
        return Answered(response, response.json())


@asynccontextmanager
async def running_gateway(
    overrides: Mapping[str, Any] | None = None, *, clock: Clock | None = None, wires: Wires = pyreqwest_wire
) -> AsyncIterator[Gateway]:
    """A gateway over customers, invoices and a bank. `overrides` are merged into its configuration, one level deep.

    Attempts are made once unless a test says otherwise, so that it need not wait for backoff; and how fast the machine
    is decides nothing: the lag of the event loop is not looked at.
    """
    async with AsyncExitStack() as stack:
        customers = await stack.enter_async_context(ScriptedUpstream(CUSTOMERS))
        invoices = await stack.enter_async_context(ScriptedUpstream(INVOICES, collection="invoices"))
        bank = await stack.enter_async_context(ScriptedUpstream(ACCOUNTS, collection="accounts", key="customerId"))
        once = {"retry": {"attempts": 1}}
        config: dict[str, Any] = {
            "mode": "development",
            "server": {"max_loop_lag_s": None},
            "imports": ["schema.customers", "schema.invoices"],
            "identity": {"trusted_proxies": ["127.0.0.1/32"]},
            "services": {
                "customers": {"graphql": customers.graphql.url, "rest": customers.rest.url, **once},
                "invoices": {"graphql": invoices.graphql.url, "rest": invoices.rest.url, **once},
                "bank": {"rest": bank.rest.url, **once},
            },
        }
        for name, value in (overrides or {}).items():
            if name == "services":
                for service, entry in value.items():
                    config["services"][service] = {**config["services"].get(service, {}), **entry}
            elif name == "server":
                config["server"] |= value
            else:
                config[name] = value
        app = create_app(parse(yaml.safe_dump(config, sort_keys=False), {}), clock=clock, wires=wires)
        server = await stack.enter_async_context(serve(app))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=20))
        yield Gateway(server, http, customers, invoices, bank)


def canonical(data: Any) -> bytes:
    """Data as bytes that are equal when the data is."""
    return msgspec.json.encode(data, order="sorted")
