"""The circuits as fields, through a real schema over scripted upstreams."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clients.call import Caller, ProtocolName
from clients.errors import UpstreamError
from clients.hooks import NoHooks
from clients.policy import BreakerPolicy
from clients.state.circuit import Mode
from clients.upstream import Upstream
from gateway.http.shedding import LoadStatus
from gateway.subscriptions.circuits import CircuitFeed
from schema.build import build_schema
from schema.context import CircuitNews, OpsAccess
from schema.health import health_of
from schema.operations import Operations
from tests.clients.support import GRAPHQL_ONLY, Rig, ask_one, rig
from tests.testkit.upstream import status

START = datetime(2026, 1, 1, tzinfo=UTC)
QUERY = """{ upstreams { status circuits {
    protocol operation state mode modeChange { mode by at reason } reason
    window { calls failed slow maxCalls seconds } failureRate slowRate trips refused ignored
} } }"""


@dataclass(frozen=True)
class State:
    """Satisfies schema.context.GatewayState."""

    made: Rig
    started_at: datetime = START

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        return {"crm": self.made.upstream}

    @property
    def dependencies(self) -> Mapping[str, str]:
        return {}

    @property
    def load(self) -> LoadStatus:
        return LoadStatus(in_flight=0, limit=None, lag_s=0.0, shed=0)

    @property
    def ops_access(self) -> OpsAccess:
        return OpsAccess("ops", "ask")

    @property
    def operations(self) -> Operations:
        raise NotImplementedError

    def circuit_changes(self) -> AbstractContextManager[AsyncIterator[CircuitNews]]:
        return CircuitFeed(NoHooks(), self.made.clock).listening()

    def wall(self, at: float) -> datetime:
        return START + timedelta(seconds=at - 1000)


@dataclass(frozen=True)
class Context:
    state: State

    @property
    def caller(self) -> Caller:
        return Caller("r1", "c1", scopes=frozenset({"ops"}))


class Asked:
    def __init__(self, made: Rig) -> None:
        self.made = made
        self.state = State(made)
        self.schema = build_schema([], federated=False)

    async def circuits(self) -> list[dict[str, Any]]:
        result = await self.schema.execute(QUERY, context_value=Context(self.state))
        assert result.errors is None
        assert result.data is not None
        found: list[dict[str, Any]] = result.data["upstreams"][0]["circuits"]
        return found

    async def fail(self) -> None:
        with pytest.raises(UpstreamError):
            await self.made.execute(ask_one(declared=GRAPHQL_ONLY))


@asynccontextmanager
async def asking(**parts: Any) -> AsyncIterator[Asked]:
    async with rig(**parts) as made:
        yield Asked(made)


async def test_a_circuit_says_what_its_rates_are_of() -> None:
    async with asking(rest=None, breaker=BreakerPolicy(window_s=60)) as asked:
        asked.made.script.graphql.behave(status(500))
        await asked.fail()
        [circuit] = await asked.circuits()
        assert circuit["window"] == {"calls": 1, "failed": 1, "slow": 0, "maxCalls": None, "seconds": 60.0}
        assert (circuit["failureRate"], circuit["slowRate"]) == (1.0, 0.0)
        assert (circuit["operation"], circuit["mode"], circuit["modeChange"]) == (None, "AUTOMATIC", None)


async def test_what_an_operator_did_is_shown_with_who_when_and_why() -> None:
    async with asking(rest=None) as asked:
        await asked.made.clock.advance(90)
        asked.made.upstream.force_circuit(Mode.FORCED_OPEN, by="ada", reason="deploying")
        await asked.made.clock.advance(10)
        await asked.fail()
        [circuit] = await asked.circuits()
        assert (circuit["state"], circuit["mode"], circuit["refused"]) == ("OPEN", "FORCED_OPEN", 1)
        assert circuit["modeChange"] == {
            "mode": "FORCED_OPEN",
            "by": "ada",
            "at": "2026-01-01T00:01:30+00:00",
            "reason": "deploying",
        }
        [check] = health_of(asked.state).checks
        assert check.reason == "graphql open: forced open by ada: deploying"


async def test_circuits_by_operation_are_listed_one_by_one() -> None:
    async with asking(breaker=BreakerPolicy(scope="operation", failures=1)) as asked:
        assert await asked.circuits() == []
        await asked.made.execute(ask_one())
        asked.made.script.graphql.behave(status(500))
        await asked.fail()
        found = [(c["protocol"], c["operation"], c["state"]) for c in await asked.circuits()]
        assert found == [("GRAPHQL", "customer", "CLOSED"), ("GRAPHQL", "customerByGraphQL", "OPEN")]
        [check] = health_of(asked.state).checks
        assert check.reason == "graphql customerByGraphQL open: 1 failures in a row (last: UPSTREAM_SERVER_ERROR)"


async def test_of_many_troubles_health_tells_a_few_and_how_many_more() -> None:
    async with asking(breaker=BreakerPolicy(scope="operation")) as asked:
        for number in range(8):
            asked.made.upstream.force_circuit(
                Mode.FORCED_OPEN, by="ada", operation=f"o{number}", protocol=ProtocolName.GRAPHQL
            )
        [check] = health_of(asked.state).checks
        assert check.reason is not None
        assert check.reason.split("; ")[4:] == ["graphql o4 open: forced open by ada", "and 3 more"]
