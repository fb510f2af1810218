"""`/status`: a page for people, and `/monitoring/status`, all that it shows as one answer.

The page holds no data, so it is served to anybody; what it shows is for operators. `docs/decisions/status-page.md` says
why it asks for one JSON address and not in GraphQL.
"""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import strawberry
from graphql import (
    GraphQLField,
    GraphQLNamedType,
    get_named_type,
    is_composite_type,
    is_object_type,
    is_required_argument,
)
from starlette.requests import Request
from starlette.routing import Route

from clients.call import ServedBy
from clients.series import Slot, last_minute
from clients.upstream import Upstream
from gateway.config import Config
from gateway.http.page import Page
from gateway.identity.operators import Operators
from gateway.ops.envelope import Envelope
from gateway.ops.errors import NotReady
from gateway.ops.guard import for_operators
from gateway.ops.monitoring import circuits_of
from gateway.ops.plain import Wall, plain
from gateway.ops.probes import health_body
from gateway.runtime import Runtime
from gateway.telemetry.series import RecentFigures
from schema.build import core_schema

_FILES = Path(__file__).parent / "static" / "status"

_MUTATIONS = ("forceCircuit", "resetCircuit", "purgeCache", "reloadSupergraph")
_GIVEN = ("service", "protocol", "operation", "mode", "reason")  # the arguments that the page has something for
_CHANGES = "subscription { circuitChanges { service } }"


class StatusPage:
    """The page and its data.

    Args:
        current: what serves now; None before and after.
        recent: the last quarter of an hour.
        envelope: shapes the data's answers.
        operators: who may see data.
        documents: what the page may ask in GraphQL, see `own_documents`.
    """

    def __init__(
        self,
        current: Callable[[], Runtime | None],
        recent: RecentFigures,
        envelope: Envelope,
        operators: Operators,
        documents: Mapping[str, str],
    ) -> None:
        self._current = current
        self._recent = recent
        self._envelope = envelope
        self._operators = operators
        self._documents = documents
        self._page = Page(_FILES, "/status", "status-asset")
        self._version = metadata.version("breakwater")
        self._host = socket.gethostname()

    def routes(self) -> list[Route]:
        """The routes."""
        data = self._envelope.around(for_operators(self._operators, self._data))
        return [
            Route("/status", self._page, methods=["GET"]),
            *self._page.routes(),
            Route("/monitoring/status", data, methods=["GET"]),
        ]

    async def _data(self, _: Request) -> Mapping[str, Any]:
        runtime = self._current()
        if runtime is None:
            raise NotReady("The gateway is not ready.")
        return {
            "host": self._host,
            "worker": os.getpid(),
            "version": self._version,
            **health_body(runtime),
            "requests": _traffic(self._recent.requests(), runtime.wall, "degraded"),
            "upstreams": [_upstream(upstream, runtime.wall) for upstream in runtime.upstreams.values()],
            "documents": self._documents,
        }


def own_documents(config: Config, schema: strawberry.Schema) -> dict[str, str]:
    """What the page may ask of the gateway's own schema: mutations by name, and what tells of circuits as `changes`.

    Nothing where a supergraph is served without it: a field of the same name would be somebody else's.
    """
    served = config.served_federation
    if served is not None and served.local is None:
        return {}
    found = {"changes": _CHANGES}
    mutations = core_schema(schema).mutation_type
    fields = {} if mutations is None else mutations.fields
    for name in _MUTATIONS:
        document = _document(name, fields[name]) if name in fields else None
        if document is not None and (served is not None or name != "reloadSupergraph"):
            found[name] = document
    return found


def _document(name: str, field: GraphQLField) -> str | None:
    """A mutation with every argument that the page has something for; None if it wants others."""
    given = {argument: field.args[argument].type for argument in _GIVEN if argument in field.args}
    if any(is_required_argument(argument) and key not in given for key, argument in field.args.items()):
        return None
    variables = ", ".join(f"${argument}: {kind}" for argument, kind in given.items())
    arguments = ", ".join(f"{argument}: ${argument}" for argument in given)
    selection = _selection(get_named_type(field.type))
    return (
        f"mutation({variables}) {{ {name}({arguments}){selection} }}" if given else f"mutation {{ {name}{selection} }}"
    )


def _selection(kind: GraphQLNamedType) -> str:
    """What went wrong, where the answer has a field for it."""
    if is_object_type(kind) and "error" in kind.fields:
        return " { error }"
    return " { __typename }" if is_composite_type(kind) else ""


def _upstream(upstream: Upstream, wall: Wall) -> dict[str, Any]:
    status, slots = upstream.status(), upstream.recent()
    return {
        "name": status.name,
        "health": status.health.value,
        "reason": status.reason,
        "since": plain(status.since, wall, "since"),
        "inFlight": status.concurrency.in_flight,
        "circuits": list(circuits_of(upstream, wall)),
        "servedBy": {by.value: count for by, count in status.served.counts.items()} | {"failed": status.served.failed},
        "oldestStaleMs": plain(status.served.oldest_stale_s, wall, "oldest_stale_s"),
        **_traffic(slots, wall),
    }


def _traffic(slots: Sequence[Slot], wall: Wall, stale: str = "stale") -> dict[str, Any]:
    """The last minute, and the last quarter of an hour in columns: a fifth of what a record for each slot would take.

    `stale` is what answers that were not as they should have been are called.
    """
    minute = last_minute(slots)
    counts = minute.counts
    return {
        "lastMinute": {
            "seconds": round(minute.seconds, 3),
            "calls": counts.calls,
            "failed": counts.failed,
            stale: counts.stale,
            "perS": round(minute.per_s, 3),
            "p95Ms": plain(minute.p95_s, wall, "p95_s"),
            **({"servedBy": dict(zip(ServedBy, counts.ways, strict=True))} if counts.ways else {}),
        },
        "recent": {
            "from": plain(slots[0].at, wall, "at"),
            "seconds": [round(slot.seconds, 3) for slot in slots],
            "calls": [slot.counts.calls for slot in slots],
            "failed": [slot.counts.failed for slot in slots],
            stale: [slot.counts.stale for slot in slots],
            "p95Ms": [plain(slot.p95_s, wall, "p95_s") for slot in slots],
        },
    }
