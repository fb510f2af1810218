"""What one subgraph resolves by itself at a position, under one choice of override labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.federation.composition.fieldsets import FieldSet, On, parse_field_set
from gateway.federation.composition.merging.overrides import Overrides
from gateway.federation.composition.model import Field, Kind, SubgraphSchema, TypeDef
from gateway.federation.composition.supergraph import Supergraph
from gateway.federation.composition.typerefs import named


@dataclass(frozen=True, slots=True)
class Position:
    """An object that is being resolved: its type in a subgraph, and what ``@provides`` adds to it here."""

    type: str
    graph: str
    view: FieldSet = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """A field that can be entered: the position behind it, and what it requires first."""

    child: Position
    requires: FieldSet = ()


class Graphs:
    """The subgraphs, asked by position."""

    def __init__(self, supergraph: Supergraph, overrides: Overrides, active_labels: frozenset[str]) -> None:
        self.supergraph = supergraph
        self.schemas: Mapping[str, SubgraphSchema] = {each.graph: each for each in supergraph.schemas}
        self._overrides = overrides
        self._active_labels = active_labels
        self._interface_objects = {
            (type_name, schema.graph)
            for schema in supergraph.schemas
            for type_name, definition in schema.types.items()
            if definition.is_interface_object
        }

    def definition(self, position: Position) -> TypeDef:
        """The type at a position, as its subgraph defines it."""
        return self.schemas[position.graph].types[position.type]

    def is_interface_object(self, position: Position) -> bool:
        """Whether the runtime type at the position is unknown to its subgraph."""
        return (position.type, position.graph) in self._interface_objects

    def is_overridden(self, graph: str, type_name: str, field_name: str) -> bool:
        """Whether the subgraph has lost the field, or has not got it yet, under the active labels."""
        schema = self.schemas[graph]
        losing = self._overrides.losing(schema, type_name, field_name)
        if losing is not None:
            return losing.label is None or losing.label in self._active_labels
        winning = self._overrides.winning(schema, type_name, field_name)
        return winning is not None and winning.label is not None and winning.label not in self._active_labels

    def edge(self, position: Position, field_name: str) -> Edge | None:
        """The field at the position, if its subgraph resolves it there or provides it on this path."""
        definition = self.definition(position)
        field = definition.fields.get(field_name)
        if field is None:
            return None
        provided = self._provided(position, field_name)
        is_provided = provided is not None
        if not is_provided and (field.is_external or self.is_overridden(position.graph, position.type, field_name)):
            return None
        view = (*_field_set(field, "provides"), *(provided or ()))
        child = Position(named(field.type), position.graph, view)
        return Edge(child, () if is_provided else _field_set(field, "requires"))

    def _provided(self, position: Position, field_name: str) -> FieldSet | None:
        """The sub-selections that the view has under a field; None when it does not have the field."""
        found: list[FieldSet] = []
        pending: list[FieldSet] = [position.view]
        while pending:
            for each in pending.pop():
                if isinstance(each, On):
                    if each.type is None or self._is_within(position, each.type):
                        pending.append(each.selections)
                elif each.name == field_name:
                    found.append(each.selections)
        return tuple(each for selections in found for each in selections) if found else None

    def _is_within(self, position: Position, condition: str) -> bool:
        possible = self.schemas[position.graph].possible_types.get(condition, frozenset())
        return position.type == condition or position.type in possible

    def runtime_types(self, position: Position) -> frozenset[str]:
        """Object types the subgraph can return there; empty at an interface object."""
        if self.is_interface_object(position):
            return frozenset()
        return self.schemas[position.graph].possible_types.get(position.type, frozenset())

    def narrowed(self, position: Position, type_name: str) -> Position:
        """The same object, known to be of an object type."""
        return Position(type_name, position.graph, position.view)

    def keys(self, type_name: str, graph: str) -> Sequence[FieldSet]:
        """The resolvable keys by which a subgraph can be entered for a type."""
        definition = self.schemas[graph].types.get(type_name)
        if definition is None:
            return ()
        return [
            parse_field_set(key.value("fields"))
            for key in definition.applied("key")
            if key.value("resolvable", True) is not False
        ]

    def targets(self, position: Position) -> list[Position]:
        """Where a key could lead: to the same type elsewhere, or to an interface object that stands for it."""
        names = [position.type]
        if self.definition(position).kind is Kind.OBJECT and not self.is_interface_object(position):
            merged = self.supergraph.types.get(position.type)
            names += list(merged.implements) if merged is not None else []
        return [
            Position(name, graph)
            for name in names
            for graph, schema in self.schemas.items()
            if name in schema.types and (name == position.type or (name, graph) in self._interface_objects)
            if (name, graph) != (position.type, position.graph)
        ]


def _field_set(field: Field, directive: str) -> FieldSet:
    for applied in field.applied(directive):
        return parse_field_set(applied.value("fields"))
    return ()
