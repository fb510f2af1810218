"""A federation whose fields are guarded, asked as the gateway asks it."""

from collections.abc import Collection, Mapping
from random import Random
from types import SimpleNamespace
from typing import Any

from clients.call import Caller
from gateway.access.guard import Access
from gateway.access.rules import AccessRules, supergraph_rules
from gateway.execution import FederatedExecutor
from gateway.federation.executor import SubgraphRequest
from gateway.federation.planner import PlanLimits
from gateway.federation.serving import Snapshot
from gateway.federation.source import fetched
from gateway.http.documents import Document, DocumentCache
from tests.federation.kit.federation import Federation
from tests.federation.kit.world import World
from tests.testkit.execution import answer_of


class GuardedFederation:
    """A supergraph over a world, executed for callers. ``requests`` are those of the last answer.

    Args:
        rules: by default those of the supergraph.
    """

    def __init__(
        self, sdl: str, world: World, *, access: Access | None = None, rules: AccessRules | None = None
    ) -> None:
        self.federation = Federation(sdl, world, limits=PlanLimits(max_time_s=60))  # never a question of speed
        engine = self.federation.engine
        found = supergraph_rules(engine.model) if rules is None else rules
        guard = self.guard = (access or Access()).guard(engine.api_schema, found)
        self.documents = DocumentCache(engine.api_schema, introspection=True)
        snapshot = Snapshot(engine, self.documents, {}, fetched(sdl, "a test"), guard)
        self._executor = FederatedExecutor(SimpleNamespace(snapshot=snapshot), Random(0))  # type: ignore[arg-type]

    @property
    def requests(self) -> list[SubgraphRequest]:
        return self.federation.requests

    @property
    def sent(self) -> list[str]:
        """What was asked of whom: ``subgraph: document``."""
        return [f"{request.subgraph}: {' '.join(request.document.split())}" for request in self.requests]

    def document(self, query: str) -> Document:
        return self.documents.get(query)

    async def ask(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        authenticated: bool = False,
        scopes: Collection[str] = (),
    ) -> dict[str, Any]:
        """The answer to a caller."""
        self.requests.clear()
        caller = Caller("r", "c", authenticated=authenticated, scopes=frozenset(scopes))
        return await answer_of(self._executor, caller, query, variables)
