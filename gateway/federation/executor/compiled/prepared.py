"""An operation, ready to run: its plan, and a program for each outcome of its conditions, made when it is met."""

from collections.abc import Iterable, Mapping
from typing import Any

from graphql import GraphQLSchema

from gateway.federation.executor.compiled.layout import NotCompiled
from gateway.federation.executor.compiled.program import Program, compile_plan
from gateway.federation.planner.operation import Selection
from gateway.federation.planner.plan import Plan
from gateway.federation.supergraph.model import Model

_MAX_OUTCOMES = 16
"""Of one operation: a client that asks for all combinations of many conditions gets the plain executor for the rest."""


class Prepared:
    """A planned operation of one supergraph. Lives as long as whoever keeps it."""

    __slots__ = ("_conditional", "_model", "_programs", "_schema", "plan")

    def __init__(self, model: Model, schema: GraphQLSchema, plan: Plan) -> None:
        self.plan = plan
        self._model = model
        self._schema = schema
        self._conditional = tuple(sorted(_conditional(plan.operation.selections)))
        self._programs: dict[tuple[bool, ...], Program | str] = {}

    def program(self, variables: Mapping[str, Any]) -> Program | str:
        """The program for these variables; the reason, where there is none and the plain executor has to run it."""
        outcome = tuple([bool(variables.get(name)) for name in self._conditional]) if self._conditional else ()
        made = self._programs.get(outcome)
        if made is None:
            if len(self._programs) >= _MAX_OUTCOMES:
                return f"it has been asked with {_MAX_OUTCOMES} outcomes of its conditions already"
            made = self._programs[outcome] = self._make(dict(zip(self._conditional, outcome, strict=True)))
        return made

    def compiled(self) -> bool | str | None:
        """Whether its programs could be made: True, the reason against one, or None when none was asked for yet."""
        return next((made for made in self._programs.values() if isinstance(made, str)), bool(self._programs) or None)

    def _make(self, conditions: Mapping[str, bool]) -> Program | str:
        try:
            return compile_plan(self._model, self._schema, self.plan, conditions)
        except NotCompiled as reason:
            return str(reason)


def _conditional(selections: Iterable[Selection]) -> set[str]:
    """Variables that conditions ask for."""
    found: set[str] = set()
    for selection in selections:
        found |= {name for name, _ in selection.condition}
        found |= _conditional(selection.selections)
    return found
