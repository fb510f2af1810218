"""An operation of this process's schema, ready to run: a program for each outcome of its conditions, made when met."""

from collections.abc import Iterator, Mapping
from typing import Any

import strawberry
from graphql import (
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from gateway.local_execution.describe import describe
from gateway.local_execution.layout import NotCompiled, Program
from schema.build import core_schema

_MAX_OUTCOMES = 16
"""Of one operation: a client that asks for all combinations of many conditions gets graphql-core for the rest."""

_INCREMENTAL = frozenset({"defer", "stream"})
_CONDITIONS = frozenset({"skip", "include"})


class Prepared:
    """One operation of a document that is valid for the schema. Lives as long as whoever keeps it.

    Attributes:
        conditional: the variables that its conditions ask for.
    """

    __slots__ = ("_fragments", "_operation", "_programs", "_refused", "_schema", "conditional")

    def __init__(
        self,
        schema: strawberry.Schema,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
    ) -> None:
        self._schema = core_schema(schema)
        self._operation = operation
        self._fragments = fragments
        self._programs: dict[tuple[bool, ...], Program | str] = {}
        directives = list(_directives(operation.selection_set))
        for fragment in fragments.values():
            directives += _directives(fragment.selection_set)
        self._refused = _refused(schema, operation, fragments, directives)
        self.conditional = tuple(sorted({name for each in directives for name in _variables(each)}))

    def program(self, variables: Mapping[str, Any]) -> Program | str:
        """The program for these coerced variables; the reason, where there is none and graphql-core has to run it."""
        if self._refused:
            return self._refused
        outcome: tuple[bool, ...] = ()
        if self.conditional:
            outcome = tuple([variables.get(name) is True for name in self.conditional])
            if any(type(variables.get(name)) is not bool for name in self.conditional):
                return "a condition has no value"
        made = self._programs.get(outcome)
        if made is None:
            if len(self._programs) >= _MAX_OUTCOMES:
                return f"it has been asked with {_MAX_OUTCOMES} outcomes of its conditions already"
            made = self._programs[outcome] = self._make(dict(zip(self.conditional, outcome, strict=True)))
        return made

    def compiled(self) -> bool | str | None:
        """Whether its programs could be made: True, the reason against one, or None when none was asked for yet."""
        if self._refused:
            return self._refused
        return next((made for made in self._programs.values() if isinstance(made, str)), bool(self._programs) or None)

    def describe(self) -> str | None:
        """Its first program, for people to read; None where it has none."""
        programs = (made for made in self._programs.values() if isinstance(made, Program))
        return next((describe(program) for program in programs), None)

    def _make(self, conditions: Mapping[str, bool]) -> Program | str:
        try:
            return Program(self._schema, self._operation, self._fragments, conditions)
        except NotCompiled as reason:
            return str(reason)


def _refused(
    schema: strawberry.Schema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    directives: list[DirectiveNode],
) -> str:
    """Why there will never be a program; empty for nothing."""
    if operation.operation is OperationType.SUBSCRIPTION:
        return "it is a subscription"
    if schema.extensions:
        return "the schema has extensions"
    if schema.execution_context_class is not StrawberryGraphQLCoreExecutionContext:
        return "the schema has an execution context class of its own"
    if operation.directives:
        return f"the operation has the directive @{operation.directives[0].name.value}"
    if any(fragment.variable_definitions for fragment in fragments.values()):
        return "a fragment has variables"
    found = next((each.name.value for each in directives if each.name.value in _INCREMENTAL), None)
    return f"it has the directive @{found}" if found else ""


def _directives(selections: SelectionSetNode | None) -> Iterator[DirectiveNode]:
    for node in selections.selections if selections is not None else ():
        yield from node.directives or ()
        if isinstance(node, FieldNode | InlineFragmentNode):
            yield from _directives(node.selection_set)
        elif not isinstance(node, FragmentSpreadNode):
            raise TypeError(f"{node.kind} in a selection")


def _variables(directive: DirectiveNode) -> Iterator[str]:
    """Variables that a condition asks for."""
    if directive.name.value in _CONDITIONS:
        for argument in directive.arguments or ():
            if isinstance(argument.value, VariableNode):
                yield argument.value.name.value
