"""The programs of the plans that are in use: one for each outcome of an operation's conditions, made when it is met."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from graphql import GraphQLSchema

from gateway.federation.executor.compiled.layout import NotCompiled
from gateway.federation.executor.compiled.program import Program, compile_plan
from gateway.federation.planner.operation import Selection
from gateway.federation.planner.plan import Plan
from gateway.federation.supergraph.model import Model

_MAX_OUTCOMES = 16
"""Of one operation: a client that asks for all combinations of many conditions gets the plain executor for the rest."""


@dataclass(slots=True)
class _OfPlan:
    """What is known of one plan. `made` has the reason where there is no program."""

    names: tuple[str, ...]
    made: dict[tuple[bool, ...], Program | str] = field(default_factory=dict)


class Programs:
    """Makes programs, and keeps them as long as their plans are kept."""

    def __init__(self, model: Model, schema: GraphQLSchema) -> None:
        self._model = model
        self._schema = schema
        self._plans: WeakKeyDictionary[Plan, _OfPlan] = WeakKeyDictionary()

    def of(self, plan: Plan, variables: Mapping[str, Any]) -> Program | None:
        """The program of a plan for these variables; None when the plain executor has to run it."""
        found = self.found(plan, variables)
        return found if isinstance(found, Program) else None

    def found(self, plan: Plan, variables: Mapping[str, Any]) -> Program | str:
        """The program, or the reason why there is none."""
        known = self._plans.get(plan)
        if known is None:
            known = self._plans[plan] = _OfPlan(tuple(sorted(_conditional(plan.operation.selections))))
        outcome = tuple([bool(variables.get(name)) for name in known.names])
        made = known.made.get(outcome)
        if made is None:
            if len(known.made) >= _MAX_OUTCOMES:
                return f"it has been asked with {_MAX_OUTCOMES} outcomes of its conditions already"
            made = known.made[outcome] = self._make(plan, dict(zip(known.names, outcome, strict=True)))
        return made

    def _make(self, plan: Plan, conditions: Mapping[str, bool]) -> Program | str:
        try:
            return compile_plan(self._model, self._schema, plan, conditions)
        except NotCompiled as reason:
            return str(reason)


def _conditional(selections: Iterable[Selection]) -> set[str]:
    """Variables that conditions ask for."""
    found: set[str] = set()
    for selection in selections:
        found |= {name for name, _ in selection.condition}
        found |= _conditional(selection.selections)
    return found
