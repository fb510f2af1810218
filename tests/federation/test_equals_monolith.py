"""The federated answer to any valid query equals the monolith's, on generated supergraphs, worlds and queries."""

import json
import os
from random import Random

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from gateway.federation.engine import FederationEngine
from gateway.federation.planner import PlanLimits
from gateway.federation.supergraph import parse_supergraph
from tests.federation.kit import WorldFetcher, monolith
from tests.federation.kit.generated import generate

NIGHTLY = os.environ.get("BREAKWATER_NIGHTLY") == "1"


@seed(20260101)
@settings(
    max_examples=2_000 if NIGHTLY else 120,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.randoms(use_true_random=False))
async def test_federated_answer_equals_the_monoliths(random: Random) -> None:
    case = generate(random)
    model = parse_supergraph(case.sdl)
    fetcher = WorldFetcher(model, case.world)
    engine = FederationEngine(model, fetcher, limits=PlanLimits(max_time_s=60))  # never a question of speed
    expected = monolith(model, case.world, case.query, case.variables)
    assert expected.errors is None, expected.errors
    answer = await engine.execute(case.query, case.variables)
    story = f"{case.sdl}\n{case.query}\n{case.variables}\n{engine.plan(case.query) if 'data' in answer else ''}"
    assert answer.get("errors") is None, f"{answer}\n{story}"
    assert json.dumps(answer["data"]) == json.dumps(expected.data), story
