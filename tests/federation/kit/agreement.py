"""Compiled and plain execution, side by side."""

import json
from collections.abc import Mapping
from typing import Any

from graphql.execution.values import get_variable_values

from gateway.federation.engine import FederationEngine
from gateway.federation.executor import execute_plan
from gateway.federation.planner import PlanLimits
from gateway.federation.supergraph import Model
from tests.federation.kit.faults import FaultyFetcher
from tests.federation.kit.world import World, WorldFetcher


async def assert_agreement(
    model: Model,
    world: World,
    query: str,
    variables: Mapping[str, Any] | None,
    *,
    salt: int,
    labels: frozenset[str] = frozenset(),
) -> None:
    """Whatever fails, compiled execution gives the data and errors of plain execution, and sends the same requests."""
    inner = WorldFetcher(model, world, labels)
    compiled, plain = FaultyFetcher(inner, salt), FaultyFetcher(inner, salt)
    engine = FederationEngine(model, compiled, limits=PlanLimits(max_time_s=60))  # never a question of speed
    plan = engine.plan(query, labels=labels)
    answer = await engine.execute(query, variables, labels=labels)
    definitions = plan.operation.node.variable_definitions or ()
    coerced = get_variable_values(engine.api_schema, definitions, dict(variables or {}))
    assert not isinstance(coerced, list)
    expected = await execute_plan(model, engine.api_schema, plan, fetcher=plain, variables=coerced.coerced)
    story = f"{query}\n{variables}\n{plan}\nsalt {salt}"
    assert json.dumps(answer["data"]) == json.dumps(expected["data"]), story
    assert _sorted(answer.get("errors")) == _sorted(expected.get("errors")), story
    assert sorted(compiled.sent) == sorted(plain.sent), story


def _sorted(errors: Any) -> list[str]:
    return sorted(json.dumps(error, sort_keys=True) for error in errors or ())
