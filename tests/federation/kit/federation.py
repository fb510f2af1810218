"""One federation to ask: a supergraph, a world, an engine between them."""

import os
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from gateway.federation.engine import FederationEngine
from gateway.federation.executor import SubgraphRequest, SubgraphResponse
from gateway.federation.planner import PlanLimits
from gateway.federation.supergraph import parse_supergraph
from tests.federation.kit.agreement import assert_agreement
from tests.federation.kit.world import World, WorldFetcher, monolith

_NIGHTLY = os.environ.get("BREAKWATER_NIGHTLY") == "1"


class Federation:
    """A supergraph over a world. ``requests`` are those of the last answer."""

    def __init__(
        self,
        sdl: str,
        world: World | None = None,
        *,
        labels: frozenset[str] = frozenset(),
        answers: Mapping[str, Callable[[SubgraphRequest, SubgraphResponse], SubgraphResponse]] | None = None,
        limits: PlanLimits | None = None,
    ) -> None:
        self.model = parse_supergraph(sdl)
        self.world = world or World({})
        self.labels = labels
        self.fetcher = WorldFetcher(self.model, self.world, labels, answers)
        self.engine = FederationEngine(self.model, self.fetcher, limits=limits)

    @property
    def requests(self) -> list[SubgraphRequest]:
        return self.fetcher.requests

    def plan(self, query: str) -> str:
        """The printed plan, with a line break before and after so that it stands well in a test."""
        return f"\n{self.engine.plan(query, labels=self.labels)}\n"

    async def answer(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The whole response."""
        self.fetcher.requests.clear()
        return await self.engine.execute(query, variables, labels=self.labels)

    async def data(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        """The data of an answer that has no errors and equals the monolith's.

        Compiled and plain execution agree about it, and when something fails.
        """
        answer = await self.answer(query, variables)
        assert "errors" not in answer, answer["errors"]
        expected = monolith(self.model, self.world, query, variables)
        assert expected.errors is None, expected.errors
        assert answer["data"] == expected.data
        for salt in range(50 if _NIGHTLY else 2):
            await assert_agreement(self.model, self.world, query, variables, salt=salt, labels=self.labels)
        return answer["data"]


def plan(text: str) -> str:
    """A plan as written in a test: without the test's indentation."""
    return textwrap.dedent(text)
