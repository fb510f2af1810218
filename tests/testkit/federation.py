"""Subgraphs on real sockets, and a gateway that federates them."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
import strawberry
import yaml
from graphql import ExecutionResult, GraphQLError, build_schema, graphql_sync, parse
from graphql.language import ObjectTypeDefinitionNode
from starlette.responses import JSONResponse, Response

from clients.clock import Clock
from gateway.app import create_app
from gateway.config import parse as parse_config
from gateway.federation.composition import Subgraph, compose
from gateway.runtime import Wires, pyreqwest_wire
from tests.testkit.behaviours import RecordedCall
from tests.testkit.gateway import Answered
from tests.testkit.serve import TestServer, serve
from tests.testkit.upstream import ScriptedUpstream

Execute = Callable[[str, Mapping[str, Any]], ExecutionResult]
Resolve = Callable[[dict[str, Any]], Any]
"""Finds an entity by its representation."""

_LINK = """extend schema @link(
  url: "https://specs.apollo.dev/federation/v2.7"
  import: ["@key", "@external", "@requires", "@shareable", "@override", "@authenticated", "@requiresScopes", "@policy"]
)
"""
_MACHINERY = """
scalar _Any
type _Service { sdl: String }
extend type Query { _service: _Service! }
"""


class ScriptedSubgraph(ScriptedUpstream):
    """A federation subgraph whose every call is on record, and which misbehaves on command (`graphql.behave`)."""

    def __init__(self, execute: Execute, sdl: str) -> None:
        super().__init__(types={"id": "ID"})
        self.sdl = sdl
        self._execute = execute

    @classmethod
    def of(cls, schema: strawberry.Schema) -> "ScriptedSubgraph":
        """The subgraph of a Strawberry schema."""
        return cls(lambda text, variables: schema.execute_sync(text, dict(variables)), schema.as_str())  # type: ignore[arg-type, return-value]  # as far as is used here

    @classmethod
    def made(
        cls, sdl: str, root: Mapping[str, Any], entities: Mapping[str, Resolve] | None = None
    ) -> "ScriptedSubgraph":
        """A subgraph of an SDL without its `@link`.

        Args:
            sdl: as a team would write it.
            root: values of the root fields, or functions of `info` and the arguments.
            entities: by type, what finds one.
        """
        known = [
            node.name.value
            for node in parse(sdl).definitions
            if isinstance(node, ObjectTypeDefinitionNode) and any(d.name.value == "key" for d in node.directives or ())
        ]
        machinery = _MACHINERY
        if known:
            union = " | ".join(known)
            machinery += (
                f"union _Entity = {union}\nextend type Query {{ _entities(representations: [_Any!]!): [_Entity]! }}"
            )
        schema = build_schema(sdl + machinery, assume_valid_sdl=True)

        def find(_info: Any, representations: list[dict[str, Any]]) -> list[Any]:
            return [_found(each, entities or {}) for each in representations]

        values = {**root, "_service": {"sdl": _LINK + sdl}, "_entities": find}
        return cls(lambda text, given: graphql_sync(schema, text, values, variable_values=dict(given)), _LINK + sdl)

    def answer(self, call: RecordedCall) -> Response:
        """What a healthy subgraph says."""
        result = self._execute(call.document, call.variables)
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body["errors"] = [error.formatted for error in result.errors]
        return JSONResponse(body)

    @property
    def documents(self) -> list[str]:
        """What was asked, but for the SDL."""
        return [call.document for call in self.graphql.calls if "_service" not in call.document]

    @property
    def representations(self) -> list[list[dict[str, Any]]]:
        """The representations of each `_entities` field that was asked for."""
        calls = [call for call in self.graphql.calls if "_entities" in call.document]
        return [given for call in calls for given in call.variables.values() if isinstance(given, list)]


def _found(representation: dict[str, Any], entities: Mapping[str, Resolve]) -> Any:
    name = representation["__typename"]
    try:
        found = entities[name](representation)
    except GraphQLError as error:
        return error
    return {"__typename": name, **found} if isinstance(found, dict) else found


def supergraph_of(subgraphs: Mapping[str, ScriptedSubgraph]) -> str:
    """The subgraphs composed, each at its address."""
    result = compose([Subgraph(name, each.graphql.url, each.sdl) for name, each in subgraphs.items()])
    assert result.supergraph_sdl is not None, result.errors
    return result.supergraph_sdl


@dataclass(frozen=True, slots=True)
class FederatedGateway:
    """The gateway under test."""

    server: TestServer
    http: httpx.AsyncClient

    async def ask(self, query: str, headers: Mapping[str, str] | None = None, **variables: Any) -> Answered:
        """POST a query."""
        body = {"query": query, "variables": variables}
        response = await self.http.post("/graphql", json=body, headers=dict(headers or {}))
        return Answered(response, response.json())

    async def check(self, name: str) -> Mapping[str, Any]:
        """One check of /health."""
        checks: list[dict[str, Any]] = (await self.http.get("/health")).json()["checks"]
        return next(check for check in checks if check["name"] == name)


@asynccontextmanager
async def federated_gateway(
    subgraphs: Mapping[str, ScriptedSubgraph],
    overrides: Mapping[str, Any] | None = None,
    *,
    services: Mapping[str, Mapping[str, Any]] | None = None,
    clock: Clock | None = None,
    random: Random | None = None,
    wires: Wires = pyreqwest_wire,
) -> AsyncIterator[FederatedGateway]:
    """A gateway over running subgraphs, which it asks for their SDLs; every attempt is made once.

    Args:
        subgraphs: by name; they are entered already.
        overrides: whole sections of gateway.yaml.
        services: further services, and further keys of the subgraphs'.
    """
    entries: dict[str, dict[str, Any]] = {
        name: {"graphql": each.graphql.url, "subgraph": {}, "retry": {"attempts": 1}}
        for name, each in subgraphs.items()
    }
    for name, entry in (services or {}).items():
        entries[name] = {**entries.get(name, {"retry": {"attempts": 1}}), **entry}
    config = {"mode": "development", "federation": {}, **(overrides or {}), "services": entries}
    app = create_app(parse_config(yaml.safe_dump(config, sort_keys=False), {}), clock=clock, random=random, wires=wires)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(app))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=20))
        yield FederatedGateway(server, http)
