"""Decides for each request what of its operation the caller may not see, and has ready what is run instead."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
import structlog
from graphql import (
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    print_ast,
)
from graphql.execution.values import get_variable_values

from clients.call import Caller
from gateway.access.completing import Completion, Path
from gateway.access.config import PolicyEvaluator
from gateway.access.filtering import Filtered, fields_of, filtered
from gateway.access.requirement import Requirement
from gateway.access.rules import AccessRules, FieldNeeds, Requirements
from gateway.http.documents import Document, Operation
from gateway.http.errors import LimitExceeded, Unauthorized

_MAX_VIEWS = 8
"""Of one operation, kept: callers that differ in what they do not meet. The one made first goes first."""
_MAX_OUTCOMES = 16
"""Of the conditions of one view, kept."""

_NONE: frozenset[str] = frozenset()
_T = TypeVar("_T")

UNAUTHORIZED: dict[str, Any] = {
    "message": "You are not authorized to see this field, or the type that it gives.",
    "extensions": {"code": Unauthorized.code, "category": Unauthorized.category},
}


class Access:
    """How a gateway decides: the same for every schema that it serves.

    Args:
        evaluator: says which policies a caller is granted; None grants nobody any.
        reject_unauthorized: refuse an operation of which something is withheld.
    """

    def __init__(self, evaluator: PolicyEvaluator | None = None, *, reject_unauthorized: bool = False) -> None:
        self._evaluator = evaluator
        self.reject_unauthorized = reject_unauthorized
        self._log = structlog.get_logger("access")

    def guard(self, schema: GraphQLSchema, rules: AccessRules) -> "Guard | None":
        """What guards a schema; None where there is nothing to guard."""
        if not rules:
            return None
        policies = rules.policies()
        if policies and self._evaluator is None:
            self._log.warning("policies are granted to nobody: access.policies is not set", policies=sorted(policies))
        return Guard(schema, rules, self)

    async def granted(self, policies: frozenset[str], caller: Caller) -> frozenset[str]:
        """Those of the policies that the caller is granted; none when that cannot be found out."""
        if self._evaluator is None:
            return _NONE
        try:
            return policies.intersection(await self._evaluator(policies, caller))
        except Exception as error:  # noqa: BLE001 whatever it fails with, nobody is granted what was not found out
            self._log.error(
                "policies were not evaluated: none is granted",
                policies=sorted(policies),
                request_id=caller.request_id,
                exc_info=error,
            )
            return _NONE


class Guard:
    """Guards one schema. What it finds out of an operation is kept with the operation's document."""

    def __init__(self, schema: GraphQLSchema, rules: AccessRules, access: Access) -> None:
        self._needs = FieldNeeds(schema, rules)
        self._access = access

    async def view(self, document: Document, operation: Operation, caller: Caller) -> "View | None":
        """What is left of an operation for a caller; None for all of it, which is the usual case.

        Raises:
            Unauthorized: something is withheld, and operations are to be refused then.
            LimitExceeded: the document is nested too deeply to be looked at, where nothing else limits that.
        """
        key = (self, operation.name)
        try:
            guarded: _Guarded | None = document.prepared[key]
        except KeyError:
            guarded = document.prepared[key] = _made(partial(_guarded, self._needs, document, operation))
        if guarded is None:
            return None
        granted = _NONE
        if guarded.policies:
            granted = await self._access.granted(guarded.policies, caller)
        authenticated, scopes = caller.authenticated, caller.scopes
        unmet = [each for each in guarded.requirements if not each.met_by(authenticated, scopes, granted)]
        if not unmet:
            return None
        if self._access.reject_unauthorized:
            raise guarded.refusal(frozenset(unmet))
        return _made(partial(guarded.view, frozenset(unmet)))


class View:
    """An operation as some callers may see it.

    Attributes:
        document: what is to be executed in place of the document asked for; None when nothing is.
        operation: the operation in it.
    """

    def __init__(
        self,
        needs: FieldNeeds,
        unmet: Requirements,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        *,
        left: Filtered,
        conditional: frozenset[str],
    ) -> None:
        self._needs = needs
        self._unmet = unmet
        self._node = operation
        self._fragments = fragments
        self._left = left
        self._conditional = sorted(conditional)
        self._completions: dict[tuple[Any, ...], Completion] = {}
        self.document: Document | None = None
        self.operation: Operation | None = None
        if left.document is not None:
            node, *used = left.document.definitions
            if not isinstance(node, OperationDefinitionNode):
                raise TypeError(f"the first definition is a {node.kind}")
            self.operation = Operation(node.name.value if node.name else None, node.operation, node)
            self.document = Document(
                text=print_ast(left.document),
                ast=left.document,
                operations=(self.operation,),
                fragments={each.name.value: each for each in used if isinstance(each, FragmentDefinitionNode)},
            )

    def without_execution(self, variables: Mapping[str, Any]) -> tuple[Any, list[GraphQLError]]:
        """The data of an operation of which nothing is left, or what is wrong with the variables."""
        coerced = get_variable_values(
            self._needs.schema, self._node.variable_definitions or (), dict(variables), hide_suggestions=True
        )
        return (msgspec.UNSET, coerced) if isinstance(coerced, list) else ({}, [])

    def complete(self, data: Any, variables: Mapping[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
        """The data of the answer to the whole operation, and an error for each place that was withheld.

        Args:
            data: of the answer to what was left; UNSET when nothing was executed, which it stays.
            variables: as the client sent them, and found to fit.
        """
        root = self._needs.schema.get_root_type(self._node.operation)
        if data is None or data is msgspec.UNSET or root is None:
            return data, []
        completion = self._completion(variables)
        completed, places = completion.complete(root, self._node.selection_set, data)
        return completed, [_entry(place) for place in places]

    def _completion(self, variables: Mapping[str, Any]) -> Completion:
        values: Mapping[str, Any] = {}
        if self._conditional:
            coerced = get_variable_values(
                self._needs.schema, self._node.variable_definitions or (), dict(variables), hide_suggestions=True
            )
            values = {} if isinstance(coerced, list) else coerced.coerced
        outcome = tuple(values.get(name) is True for name in self._conditional)
        made = self._completions.get(outcome)
        if made is None:
            conditions = dict(zip(self._conditional, outcome, strict=True))
            made = Completion(self._needs, self._unmet, self._fragments, self._left, conditions)
            _keep(self._completions, outcome, made, _MAX_OUTCOMES)
        return made


class _Guarded:
    """An operation that selects something guarded."""

    def __init__(
        self, needs: FieldNeeds, document: Document, operation: OperationDefinitionNode, found: "_Selected"
    ) -> None:
        self.requirements = tuple(found.asked)
        self.policies = frozenset(
            policy for each in found.asked for alternative in each.policies or () for policy in alternative
        )
        self._needs = needs
        self._operation = operation
        self._fragments = document.fragments
        self._asked = found.asked
        self._conditional = frozenset(found.conditional)
        self._typename = "_type"
        while self._typename in found.keys:
            self._typename += "_"
        self._views: dict[Requirements, View] = {}

    def view(self, unmet: Requirements) -> View:
        """The operation without what asks for these."""
        made = self._views.get(unmet)
        if made is None:
            left = filtered(self._needs, self._operation, self._fragments, unmet, self._typename)
            made = View(self._needs, unmet, self._operation, self._fragments, left=left, conditional=self._conditional)
            _keep(self._views, unmet, made, _MAX_VIEWS)
        return made

    def refusal(self, unmet: Requirements) -> Unauthorized:
        """The error of refusing it; one entry for each field, as it is selected."""
        fields = dict.fromkeys(field for each in self._asked if each in unmet for field in self._asked[each])
        return Unauthorized(*(f"You are not authorized to see {field}, or the type that it gives." for field in fields))


class _Selected:
    """What an operation selects, each fragment looked at once.

    Attributes:
        asked: the requirements it may meet with, and the fields that ask for each.
        keys: every response key.
        conditional: the variables that its conditions ask for.
    """

    def __init__(self, needs: FieldNeeds, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._needs = needs
        self._fragments = fragments
        self._seen: set[str] = set()
        self.asked: dict[Requirement, dict[str, None]] = {}
        self.keys: set[str] = set()
        self.conditional: set[str] = set()

    def look(self, selections: SelectionSetNode, parent: GraphQLNamedType) -> None:
        """Look at a selection set and all below it."""
        types = self._needs.schema.type_map
        for node in selections.selections:
            self.conditional.update(_variables(node.directives))
            if isinstance(node, FieldNode):
                name = node.name.value
                self.keys.add((node.alias or node.name).value)
                for each in sorted(self._needs.of(parent, name).all(), key=repr):
                    self.asked.setdefault(each, {})[f"{parent.name}.{name}"] = None
                if node.selection_set is not None and not name.startswith("__"):
                    self.look(node.selection_set, get_named_type(fields_of(parent)[name].type))
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                self.look(node.selection_set, parent if condition is None else types[condition.name.value])
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in self._seen:
                self._seen.add(node.name.value)
                fragment = self._fragments[node.name.value]
                self.look(fragment.selection_set, types[fragment.type_condition.name.value])


def _made(make: Callable[[], _T]) -> _T:
    try:
        return make()
    except RecursionError:
        raise LimitExceeded("The document is nested too deeply.") from None


def _guarded(needs: FieldNeeds, document: Document, operation: Operation) -> _Guarded | None:
    root = needs.schema.get_root_type(operation.kind)
    found = _Selected(needs, document.fragments)
    if root is not None:
        found.look(operation.node.selection_set, root)
    return _Guarded(needs, document, operation.node, found) if found.asked else None


def _variables(directives: Sequence[DirectiveNode] | None) -> Iterator[str]:
    """Variables that conditions ask for."""
    for directive in directives or ():
        if directive.name.value in ("skip", "include"):
            for argument in directive.arguments or ():
                if isinstance(argument.value, VariableNode):
                    yield argument.value.name.value


def _keep(kept: dict[Any, Any], key: object, made: object, at_most: int) -> None:
    if len(kept) >= at_most:
        del kept[next(iter(kept))]
    kept[key] = made


def _entry(place: Path) -> dict[str, Any]:
    return {**UNAUTHORIZED, "path": [*place]}
