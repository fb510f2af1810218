"""Compiled and plain execution give the same answers and errors, and send the same requests, whatever fails."""

import os
from random import Random

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from gateway.federation.engine import FederationEngine
from gateway.federation.planner import PlanLimits
from gateway.federation.supergraph import parse_supergraph
from tests.federation.kit import WorldFetcher
from tests.federation.kit.agreement import assert_agreement
from tests.federation.kit.generated import generate

NIGHTLY = os.environ.get("BREAKWATER_NIGHTLY") == "1"


@seed(20260202)
@settings(
    max_examples=2_500 if NIGHTLY else 150,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.randoms(use_true_random=False), st.integers(0, 10_000))
async def test_the_same_answer_and_the_same_requests_whatever_fails(random: Random, salt: int) -> None:
    case = generate(random)
    await assert_agreement(parse_supergraph(case.sdl), case.world, case.query, case.variables, salt=salt)


def test_generated_operations_have_programs() -> None:
    """The test above says little of compiled execution if hardly anything is compiled."""
    for number in range(100):
        case = generate(Random(number))
        model = parse_supergraph(case.sdl)
        engine = FederationEngine(model, WorldFetcher(model, case.world), limits=PlanLimits(max_time_s=60))
        program = engine.prepared(case.query).program(case.variables or {})
        assert not isinstance(program, str), program
