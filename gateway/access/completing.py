"""An answer to what was left of an operation, made the answer to all of it: null where something was withheld.

GraphQL specification, §6.3.2 Field Collection, §6.4.4 Handling Execution Errors (null travels up to where it may be).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
from graphql import (
    BooleanValueNode,
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    InlineFragmentNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
    is_list_type,
    is_non_null_type,
)

from gateway.access.filtering import Filtered, fields_of
from gateway.access.rules import FieldNeeds, Requirements

Path: TypeAlias = tuple[str, ...]
"""Response keys; `@` for every element of a list, as in `extensions.upstreams`."""

_ANY_INDEX = "@"


@dataclass(frozen=True, slots=True)
class _Part:
    """A selection set that is merged at a position, the type it is on, and whether it was withheld as a whole."""

    selections: SelectionSetNode
    parent: GraphQLNamedType
    withheld: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    """One key of an object: withheld, it is null; without `below` it is taken as it is, or is this `value`."""

    key: str
    type: GraphQLOutputType | None
    withheld: bool
    below: "_Position | None"
    value: str | None = None


class _Position:
    """Where objects stand in the answer. Keys are found once for each type of object."""

    __slots__ = ("entries", "name", "parts", "path")

    def __init__(self, parts: Sequence[_Part], named: GraphQLNamedType, path: Path) -> None:
        self.parts = parts
        self.name = None if is_abstract_type(named) else named.name
        self.path = path
        self.entries: dict[str, list[_Entry]] = {}


class Completion:
    """Completes answers of one operation, for one outcome of its conditions.

    Args:
        needs: of the schema's fields.
        unmet: what the caller does not meet.
        fragments: of the document as the client sent it.
        filtered: what was executed.
        conditions: values of the variables that conditions ask for.
    """

    def __init__(
        self,
        needs: FieldNeeds,
        unmet: Requirements,
        fragments: Mapping[str, FragmentDefinitionNode],
        filtered: Filtered,
        conditions: Mapping[str, Any],
    ) -> None:
        self._needs = needs
        self._schema = needs.schema
        self._unmet = unmet
        self._fragments = fragments
        self._filtered = filtered
        self._conditions = conditions
        self._root: _Position | None = None

    def complete(self, root: GraphQLObjectType, selections: SelectionSetNode, data: Any) -> tuple[Any, list[Path]]:
        """The whole answer's data, and the places that were withheld, in the client's order.

        A place stands for all elements of the lists it is in; it is named when there was something to withhold there.
        """
        if self._root is None:
            self._root = _Position([_Part(selections, root, withheld=False)], root, ())
        withheld: dict[Path, None] = {}
        return self._object(data, self._root, withheld), [*withheld]

    def _object(self, value: Any, position: _Position, withheld: dict[Path, None]) -> Any:
        """An object with all its keys in the client's order; None when it cannot be."""
        known = _members(value)
        name = position.name or known.get(self._filtered.typename)
        if name is None:
            return None  # of an unknown type, which nobody who completed it could have let through
        entries = position.entries.get(name)
        if entries is None:
            entries = position.entries[name] = self._entries(position, name)
        made: dict[str, Any] | None = {}
        for entry in entries:
            if entry.withheld:
                withheld[(*position.path, entry.key)] = None
                result = None
            elif entry.value is not None:
                result = entry.value
            elif entry.key not in known:
                continue
            else:
                result = known[entry.key]
                if entry.below is not None and result is not None:
                    result = self._value(result, entry.type, entry.below, withheld)
            if result is None and is_non_null_type(entry.type):
                made = None  # and on: what else is withheld is said as well
            elif made is not None:
                made[entry.key] = result
        return made

    def _value(
        self, value: Any, type_: GraphQLOutputType | None, position: _Position, withheld: dict[Path, None]
    ) -> Any:
        if value is None:
            return None
        if is_non_null_type(type_):
            type_ = type_.of_type
        if not is_list_type(type_):
            return self._object(value, position, withheld)
        items = [self._value(item, type_.of_type, position, withheld) for item in value]
        return None if is_non_null_type(type_.of_type) and None in items else items

    def _entries(self, position: _Position, type_name: str) -> list[_Entry]:
        type_ = self._schema.type_map[type_name]
        if not isinstance(type_, GraphQLObjectType):
            raise TypeError(f"{type_name} is no object type")
        found: dict[str, list[tuple[FieldNode, _Part]]] = {}
        visited: set[tuple[str, bool]] = set()
        for part in position.parts:
            self._collect(part, type_, found, visited)
        return [self._entry(key, occurrences, type_, position) for key, occurrences in found.items()]

    def _entry(
        self, key: str, occurrences: Sequence[tuple[FieldNode, _Part]], type_: GraphQLObjectType, position: _Position
    ) -> _Entry:
        name = occurrences[0][0].name.value
        if name.startswith("__"):
            return _Entry(key, None, withheld=False, below=None, value=type_.name if name == "__typename" else None)
        declared = type_.fields[name].type
        marked = [(node, part, self._withheld(node, part, type_.name)) for node, part in occurrences]
        if all(withheld for *_, withheld in marked):
            return _Entry(key, declared, withheld=True, below=None)
        if not any(withheld or id(node) in self._filtered.cut for node, _, withheld in marked):
            return _Entry(key, declared, withheld=False, below=None)
        parts = [
            _Part(node.selection_set, get_named_type(fields_of(part.parent)[name].type), withheld)
            for node, part, withheld in marked
            if node.selection_set is not None
        ]
        path = (*position.path, key, *[_ANY_INDEX] * _list_depth(declared))
        below = _Position(parts, get_named_type(declared), path) if parts else None
        return _Entry(key, declared, withheld=False, below=below)

    def _withheld(self, node: FieldNode, part: _Part, type_name: str) -> bool:
        return part.withheld or self._needs.of(part.parent, node.name.value).withheld_on(type_name, self._unmet)

    def _collect(
        self,
        part: _Part,
        type_: GraphQLObjectType,
        found: dict[str, list[tuple[FieldNode, _Part]]],
        visited: set[tuple[str, bool]],
    ) -> None:
        """CollectFields; each fragment once, and once more where it was withheld."""
        for node in part.selections.selections:
            if self._left_out(node.directives):
                continue
            if isinstance(node, FieldNode):
                found.setdefault((node.alias or node.name).value, []).append((node, part))
                continue
            if isinstance(node, FragmentSpreadNode):
                if (node.name.value, part.withheld) in visited:
                    continue
                visited.add((node.name.value, part.withheld))
                fragment: FragmentDefinitionNode | InlineFragmentNode = self._fragments[node.name.value]
            elif isinstance(node, InlineFragmentNode):
                fragment = node
            parent = part.parent
            if fragment.type_condition is not None:
                parent = self._schema.type_map[fragment.type_condition.name.value]
            if parent is type_ or (is_abstract_type(parent) and self._schema.is_sub_type(parent, type_)):
                self._collect(_Part(fragment.selection_set, parent, part.withheld), type_, found, visited)

    def _left_out(self, directives: Sequence[DirectiveNode] | None) -> bool:
        for directive in directives or ():
            name = directive.name.value
            if name in ("skip", "include"):
                value = directive.arguments[0].value if directive.arguments else None
                if isinstance(value, BooleanValueNode):
                    met = value.value
                else:
                    met = isinstance(value, VariableNode) and self._conditions.get(value.name.value) is True
                if met == (name == "skip"):
                    return True
        return False


def _members(value: Any) -> Mapping[str, Any]:
    """An object's members by response key."""
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return {key: member for key, name in names if (member := getattr(value, name)) is not msgspec.UNSET}
    if not isinstance(value, Mapping):
        raise TypeError(f"an object is a {type(value).__name__}")
    return value


def _list_depth(type_: Any) -> int:
    depth = 0
    while is_non_null_type(type_) or is_list_type(type_):
        depth += is_list_type(type_)
        type_ = type_.of_type
    return depth
