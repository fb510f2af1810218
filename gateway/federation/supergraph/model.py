"""The supergraph as the planner sees it: which subgraph can resolve which field, and how it is entered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from graphql import DocumentNode, OperationType

from gateway.access.requirement import Requirement
from gateway.federation.supergraph.field_sets import FieldSet, parse_field_set


class Kind(Enum):
    """The kinds of named types."""

    OBJECT = "object"
    INTERFACE = "interface"
    UNION = "union"
    SCALAR = "scalar"
    ENUM = "enum"
    INPUT = "input"


@dataclass(frozen=True, slots=True)
class Subgraph:
    """One subgraph: ``graph`` is the value of ``join__Graph``, ``name`` what people call it."""

    graph: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Key:
    """One ``@key`` in one subgraph; entities can be asked for by it only when ``resolvable``."""

    fields: FieldSet
    resolvable: bool = True


@dataclass(frozen=True, slots=True)
class JoinField:
    """One ``@join__field``. ``graph`` None means: inherited from an interface object, resolved nowhere here."""

    graph: str | None = None
    type: str | None = None
    requires: str | None = None
    provides: str | None = None
    external: bool = False
    used_overridden: bool = False
    override: str | None = None
    override_label: str | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the supergraph. ``type`` is printed, ``named_type`` its innermost name.

    ``access`` is what callers must meet to see it.
    """

    name: str
    type: str
    joins: tuple[JoinField, ...] = ()
    access: Requirement | None = None

    @property
    def named_type(self) -> str:
        """The type without list and non-null marks."""
        return self.type.strip("[]!")


@dataclass(frozen=True, slots=True)
class Type:
    """One named type and what each subgraph knows of it; mappings are keyed by ``graph``.

    ``access`` is what callers must meet to see anything of it.
    """

    name: str
    kind: Kind
    graphs: frozenset[str] = frozenset()
    keys: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    interface_object_in: frozenset[str] = frozenset()
    interfaces: Mapping[str, frozenset[str]] = field(default_factory=dict)
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    fields: Mapping[str, Field] = field(default_factory=dict)
    inaccessible: bool = False
    access: Requirement | None = None

    @property
    def abstract(self) -> bool:
        """Whether objects of this type have another runtime type."""
        return self.kind in (Kind.INTERFACE, Kind.UNION)


@dataclass(frozen=True, slots=True)
class LocalField:
    """A field as one subgraph declares it.

    Attributes:
        type: its type there, printed; ``named_type`` its innermost name.
        resolvable: False when it is external or overridden: declared, to be had only through a provides.
        requires: fields of the same object that must be sent along, or None.
        provides: fields below that this subgraph resolves on this route.
        label: the override label that decides who resolves it, and the state it must be in.
    """

    type: str
    named_type: str
    resolvable: bool
    requires: FieldSet | None
    provides: FieldSet
    label: tuple[str, bool] | None


class Model:
    """One supergraph. Immutable; look-ups are remembered for its lifetime.

    Args:
        document: the supergraph SDL it was read from, from which the API schema is derived.
        subgraphs: by graph.
        types: every named type except those of the join and link specifications.
        roots: names of the root types there are.
    """

    def __init__(
        self,
        document: DocumentNode,
        subgraphs: Mapping[str, Subgraph],
        types: Mapping[str, Type],
        roots: Mapping[OperationType, str],
    ) -> None:
        self.document = document
        self.subgraphs = subgraphs
        self.types = types
        self.roots = roots
        self._local: dict[tuple[str, str, str], LocalField | None] = {}
        self._possible: dict[str, frozenset[str]] = {}
        self._runtime: dict[tuple[str, str], frozenset[str] | None] = {}
        self._interfaces: dict[str, tuple[str, ...]] = {}
        self._graph_of_name = {subgraph.name: graph for graph, subgraph in subgraphs.items()}
        self._implementers: dict[tuple[str, str], set[str]] = {}
        self.override_labels = frozenset(
            join.override_label
            for type_ in types.values()
            for field_ in type_.fields.values()
            for join in field_.joins
            if join.override_label
        )
        """Labels that decide, request by request, which subgraph resolves an overridden field."""
        for type_ in types.values():
            for graph, interfaces in type_.interfaces.items():
                if type_.kind is Kind.OBJECT:
                    for interface in interfaces:
                        self._implementers.setdefault((interface, graph), set()).add(type_.name)

    def local(self, type_name: str, graph: str, field_name: str) -> LocalField | None:
        """The field as ``graph`` declares it, None when it does not."""
        key = (type_name, graph, field_name)
        if key not in self._local:
            self._local[key] = self._find_local(*key)
        return self._local[key]

    def _find_local(self, type_name: str, graph: str, field_name: str) -> LocalField | None:
        type_ = self.types[type_name]
        field_ = type_.fields.get(field_name)
        if field_ is None or graph not in type_.graphs:
            return None
        if not field_.joins:
            return LocalField(field_.type, field_.named_type, True, None, (), None)
        join = next((join for join in field_.joins if join.graph == graph), None)
        if join is None:
            return None
        local_type = join.type or field_.type
        where = f"{type_name}.{field_name} in {self.subgraphs[graph].name}"
        requires = parse_field_set(join.requires, self.possible_types, where) if join.requires else None
        provides = parse_field_set(join.provides, self.possible_types, where) if join.provides else ()
        return LocalField(
            local_type,
            local_type.strip("[]!"),
            not (join.external or join.used_overridden),
            requires,
            provides,
            self._label(field_, join),
        )

    def _label(self, field_: Field, join: JoinField) -> tuple[str, bool] | None:
        """A labelled override is resolved here when its label is on; the overridden field when it is off."""
        if join.override is not None:
            return (join.override_label, True) if join.override_label else None
        if join.override_label:
            return (join.override_label, False)
        for other in field_.joins:
            if other.override_label and other.override and self._graph_of_name.get(other.override) == join.graph:
                return (other.override_label, False)
        return None

    def possible_types(self, type_name: str) -> frozenset[str]:
        """Object types an object of this type can have anywhere in the supergraph, inaccessible ones included."""
        if type_name not in self._possible:
            type_ = self.types.get(type_name)
            if type_ is None:
                self._possible[type_name] = frozenset()
            elif type_.kind is Kind.OBJECT:
                self._possible[type_name] = frozenset((type_name,))
            else:
                found: set[str] = set()
                for graph in type_.graphs:
                    found |= type_.members.get(graph, frozenset()) | self._implementers.get((type_name, graph), set())
                self._possible[type_name] = frozenset(found)
        return self._possible[type_name]

    def runtime_types(self, type_name: str, graph: str) -> frozenset[str] | None:
        """Object types that ``graph`` can return for this type.

        None at an interface object: there the runtime type is not known to the subgraph.
        """
        key = (type_name, graph)
        if key not in self._runtime:
            type_ = self.types[type_name]
            if type_.kind is Kind.OBJECT:
                self._runtime[key] = frozenset((type_name,))
            elif graph in type_.interface_object_in:
                self._runtime[key] = None
            else:
                known = type_.members.get(graph, ()) if type_.kind is Kind.UNION else self._implementers.get(key, ())
                self._runtime[key] = frozenset(each for each in known if graph in self.types[each].graphs)
        return self._runtime[key]

    def interfaces_of(self, type_name: str) -> tuple[str, ...]:
        """Interfaces the type implements in any subgraph, sorted."""
        if type_name not in self._interfaces:
            type_ = self.types[type_name]
            self._interfaces[type_name] = tuple(sorted(frozenset().union(*type_.interfaces.values())))
        return self._interfaces[type_name]

    def root(self, operation: OperationType) -> str | None:
        """Name of the root type, None when the supergraph has none."""
        return self.roots.get(operation)

    def summary(self) -> Mapping[str, Any]:
        """Counts for logs and status pages."""
        return {
            "subgraphs": sorted(subgraph.name for subgraph in self.subgraphs.values()),
            "types": len(self.types),
            "fields": sum(len(type_.fields) for type_ in self.types.values()),
        }
