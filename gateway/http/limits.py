"""Bounds on what one document may ask for, checked after the parse and before validation.

Fragments count as often as they are spread, as planning and execution meet them. Each is measured once and its sums
are used wherever it is spread, so time grows with the text, whatever the text expands to. Nothing here recurses.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_location,
)

from gateway.http.errors import LimitExceeded

_Executable: TypeAlias = OperationDefinitionNode | FragmentDefinitionNode

_INTROSPECTION = ("__schema", "__type")

# Sums stop here: 5,000 tokens can stand for a number of hundreds of digits.
_CEILING = 10**12


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """What each operation of a document may have at most. None turns a limit off.

    Attributes:
        max_depth: fields inside one another; `{ a { b } }` is 2 deep.
        max_aliases: aliased fields.
        max_directives: on the operation, its variables, its selections and its fragments.
        max_root_fields: fields of the operation's own type.
        max_selections: fields, fragment spreads and inline fragments.
    """

    max_depth: int | None = 15
    max_aliases: int | None = 30
    max_directives: int | None = 50
    max_root_fields: int | None = 20
    max_selections: int | None = 10_000


class DocumentLimitCheck:
    """Refuses documents over their limits; a `gateway.http.LimitCheck`.

    Every operation and fragment is held to the limits, whichever operation is asked for: the verdict is that of the
    document and is remembered with it. A fragment never has more than what spreads it, so only unused ones are
    refused for their own sake.

    Circular, unknown and repeated fragments are left to validation. A fragment spread inside itself counts there as
    one selection with nothing in it; fragments of one name count together.

    Args:
        limits: what is allowed.
        introspection: True leaves what is inside `__schema`, `__type` and fragments on introspection types out of
            the depth; all else counts. Tools ask for types of types deeply (GraphiQL reaches the default exactly),
            which costs little: what does cost there is lists inside lists, and the validation rule
            MaxIntrospectionDepth bounds these. Where introspection is off nothing is left out.
    """

    def __init__(self, limits: DocumentLimits | None = None, *, introspection: bool = False) -> None:
        limits = limits or DocumentLimits()
        self._introspection = introspection
        self._bounds = (  # in the order of _Size
            ("max_depth", limits.max_depth, "levels of nested fields"),
            ("max_aliases", limits.max_aliases, "aliases"),
            ("max_directives", limits.max_directives, "directives"),
            ("max_root_fields", limits.max_root_fields, "root fields"),
            ("max_selections", limits.max_selections, "selections"),
        )

    def __call__(self, document: DocumentNode) -> None:
        """Return for a document within the limits.

        Raises:
            LimitExceeded: with an entry for each limit that is exceeded, placed at what exceeds it most.
        """
        sizes = list(_sizes(document, introspection=self._introspection))
        errors = []
        for index, (limit, allowed, what) in enumerate(self._bounds):
            if allowed is None or not sizes:
                continue
            found, most = max(((size[index], position) for position, (size, _) in enumerate(sizes)), key=itemgetter(0))
            if found > allowed:
                errors.append(_entry(limit, allowed, what, found, sizes[most][1]))
        if errors:
            raise LimitExceeded(errors=errors)


def _entry(limit: str, allowed: int, what: str, found: int, where: _Executable) -> Mapping[str, Any]:
    shown = f"{found:,}" if found < _CEILING else f"more than {_CEILING - 1:,}"
    entry: dict[str, Any] = {"message": f"The document has {shown} {what}; {limit} allows {allowed:,}."}
    if where.loc is not None:
        at = get_location(where.loc.source, where.loc.start)
        entry["locations"] = [{"line": at.line, "column": at.column}]
    entry["extensions"] = {"limit": limit}
    return entry


class _Size(NamedTuple):
    """What an operation has, or what a fragment adds each time it is spread."""

    depth: int
    aliases: int
    directives: int
    root_fields: int
    selections: int


_NOTHING = _Size(0, 0, 0, 0, 0)


class _Spread(NamedTuple):
    name: str
    level: int | None
    """Fields around it; None where depth does not count."""


@dataclass(slots=True)
class _Own:
    """What stands in a definition itself, and what it spreads."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    root_fields: int = 0
    selections: int = 0
    spreads: list[_Spread] = field(default_factory=list)

    def add(self, definition: _Executable, *, introspection: bool) -> None:
        """Count one definition's own text."""
        self.directives += len(definition.directives or ())
        self.directives += sum(len(variable.directives or ()) for variable in definition.variable_definitions or ())
        uncounted = introspection and _is_on_introspection(definition)
        pending: list[tuple[SelectionSetNode, int | None]] = [(definition.selection_set, None if uncounted else 0)]
        while pending:
            selections, level = pending.pop()
            self.selections += len(selections.selections)
            for selection in selections.selections:
                self.directives += len(selection.directives or ())
                if isinstance(selection, FragmentSpreadNode):
                    self.spreads.append(_Spread(selection.name.value, level))
                elif isinstance(selection, InlineFragmentNode):
                    pending.append((selection.selection_set, level))
                elif isinstance(selection, FieldNode):
                    self._add_field(selection, level)
                    if selection.selection_set is not None:
                        hidden = introspection and selection.name.value in _INTROSPECTION
                        pending.append((selection.selection_set, None if hidden or level is None else level + 1))

    def _add_field(self, selected: FieldNode, level: int | None) -> None:
        self.aliases += selected.alias is not None
        if level is not None:
            self.root_fields += level == 0
            self.depth = max(self.depth, level + 1)

    def total(self, fragments: Mapping[str, _Size]) -> _Size:
        """This with what it spreads, as often as it does; a fragment that is not there adds nothing."""
        depth, root_fields = self.depth, self.root_fields
        aliases, directives, selections = self.aliases, self.directives, self.selections
        for name, level in self.spreads:
            spread = fragments.get(name, _NOTHING)
            if level is not None:
                depth = max(depth, level + spread.depth)
            if level == 0:
                root_fields += spread.root_fields
            aliases += spread.aliases
            directives += spread.directives
            selections += spread.selections
        return _Size(
            depth,
            min(aliases, _CEILING),
            min(directives, _CEILING),
            min(root_fields, _CEILING),
            min(selections, _CEILING),
        )


def _is_on_introspection(definition: _Executable) -> bool:
    return isinstance(definition, FragmentDefinitionNode) and definition.type_condition.name.value.startswith("__")


def _sizes(document: DocumentNode, *, introspection: bool) -> Iterator[tuple[_Size, _Executable]]:
    """The size of each operation, then of each fragment by itself."""
    fragments: dict[str, _Own] = {}
    operations: list[tuple[_Own, _Executable]] = []
    named: dict[str, _Executable] = {}
    for definition in document.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            own = fragments.setdefault(definition.name.value, _Own())
            named.setdefault(definition.name.value, definition)
        elif isinstance(definition, OperationDefinitionNode):
            own = _Own()
            operations.append((own, definition))
        else:
            continue
        own.add(definition, introspection=introspection)
    totals = _totals(fragments)
    for own, operation in operations:
        yield own.total(totals), operation
    for name, size in totals.items():
        yield size._replace(root_fields=0), named[name]  # it may be spread where there is no root


def _totals(fragments: Mapping[str, _Own]) -> dict[str, _Size]:
    """The size of each fragment: what it spreads is summed first, and each is summed once."""
    totals: dict[str, _Size] = {}
    opened: set[str] = set()
    for first in fragments:
        pending = [first]
        while pending:
            name = pending[-1]
            if name in totals:
                pending.pop()
            elif name in opened:
                totals[pending.pop()] = fragments[name].total(totals)
            else:
                opened.add(name)
                # One that is open and has no sum is around this one: a circle, which is not gone round.
                pending += [s.name for s in fragments[name].spreads if s.name in fragments and s.name not in opened]
    return totals
