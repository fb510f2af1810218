"""Compiled and plain execution give the same answers and errors, and send the same requests, whatever fails."""

import json
import os
from collections.abc import Callable
from random import Random
from typing import Any

from graphql.execution.values import get_variable_values
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from gateway.federation.engine import FederationEngine
from gateway.federation.errors import FetchFailed
from gateway.federation.executor import SubgraphRequest, SubgraphResponse, execute_plan
from gateway.federation.planner import PlanLimits
from gateway.federation.supergraph import parse_supergraph
from tests.federation.kit import WorldFetcher
from tests.federation.kit.generated import generate

NIGHTLY = os.environ.get("BREAKWATER_NIGHTLY") == "1"
_LEAVES: list[Any] = [None, 7, -1.5, True, "", "é", [], ["x"], {}, {"__typename": "Nobody"}]


class FaultyFetcher:
    """Spoils answers, the same request always in the same way, whoever asks and in whatever order."""

    def __init__(self, inner: WorldFetcher, salt: int) -> None:
        self.inner = inner
        self.salt = salt
        self.sent: list[str] = []

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        asked = json.dumps([request.subgraph, request.document, request.path, request.variables], sort_keys=True)
        self.sent.append(asked)
        response = await self.inner.fetch(request)
        random = Random(f"{self.salt} {asked}")
        if random.random() < 0.5:
            return response
        return random.choice(_FAULTS)(random, request, response)


def _refused(_: Random, request: SubgraphRequest, __: SubgraphResponse) -> SubgraphResponse:
    raise FetchFailed(request.subgraph, f"{request.subgraph}: down", "UPSTREAM_UNREACHABLE")


def _broken(_: Random, __: SubgraphRequest, ___: SubgraphResponse) -> SubgraphResponse:
    raise ValueError("a fault nobody foresaw")


def _without_data(_: Random, __: SubgraphRequest, ___: SubgraphResponse) -> SubgraphResponse:
    return SubgraphResponse(None, [{"message": "no"}])


def _with_error(random: Random, _: SubgraphRequest, response: SubgraphResponse) -> SubgraphResponse:
    path: list[Any] = []
    value = response.data
    while isinstance(value, dict | list) and value and random.random() < 0.8:
        path.append(random.choice(list(value)) if isinstance(value, dict) else random.randrange(len(value)))
        value = value[path[-1]]
    return SubgraphResponse(response.data, [{"message": "odd", "path": path}])


def _spoilt(random: Random, _: SubgraphRequest, response: SubgraphResponse) -> SubgraphResponse:
    """One place of the data is something else, or is not there."""
    places: list[Callable[[Any], None]] = []
    removals: list[Callable[[], None]] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict | list):
            for key in list(value) if isinstance(value, dict) else range(len(value)):
                places.append(lambda new, at=value, key=key: at.__setitem__(key, new))  # type: ignore[misc]
                removals.append(lambda at=value, key=key: at.__delitem__(key))  # type: ignore[misc]
                walk(value[key])

    walk(response.data)
    if places and random.random() < 0.7:
        random.choice(places)(random.choice(_LEAVES))
    elif removals:
        random.choice(removals)()
    return response


_FAULTS: list[Callable[[Random, SubgraphRequest, SubgraphResponse], SubgraphResponse]] = [
    _refused,
    _broken,
    _without_data,
    _with_error,
    _spoilt,
    _spoilt,
    _spoilt,
]


@seed(20260202)
@settings(
    max_examples=2_000 if NIGHTLY else 150,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.randoms(use_true_random=False), st.integers(0, 10_000))
async def test_the_same_answer_and_the_same_requests_whatever_fails(random: Random, salt: int) -> None:
    case = generate(random)
    model = parse_supergraph(case.sdl)
    world = WorldFetcher(model, case.world)
    compiled, plain = FaultyFetcher(world, salt), FaultyFetcher(world, salt)
    engine = FederationEngine(model, compiled, limits=PlanLimits(max_time_s=60))
    plan = engine.plan(case.query)
    answer = await engine.execute(case.query, case.variables)
    coerced = get_variable_values(
        engine.api_schema, plan.operation.node.variable_definitions or (), dict(case.variables or {})
    )
    assert not isinstance(coerced, list)
    expected = await execute_plan(
        model, engine.api_schema, plan, fetcher=plain, variables=coerced.coerced, context=None
    )
    story = f"{case.sdl}\n{case.query}\n{case.variables}\n{plan}"
    assert json.dumps(answer["data"]) == json.dumps(expected["data"]), story
    assert _sorted(answer.get("errors")) == _sorted(expected.get("errors")), story
    assert sorted(compiled.sent) == sorted(plain.sent), story


def _sorted(errors: Any) -> list[str]:
    return sorted(json.dumps(error, sort_keys=True) for error in errors or ())


def test_most_generated_operations_have_a_program() -> None:
    """The test above says little of compiled execution if hardly anything is compiled."""
    programs = 0
    for number in range(100):
        case = generate(Random(number))
        model = parse_supergraph(case.sdl)
        engine = FederationEngine(model, WorldFetcher(model, case.world), limits=PlanLimits(max_time_s=60))
        program = engine.prepared(case.query).program(case.variables or {})
        programs += not isinstance(program, str)
    assert programs >= 60
