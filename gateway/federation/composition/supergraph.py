"""The merged types on their way to supergraph SDL: what clients see, and which subgraph contributes what.

The shape follows the join specification, v0.3 to v0.5: each record says what its ``join__`` directives will say.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gateway.federation.composition.model import Applied, DirectiveDef, Kind, SubgraphSchema, runtime_types


@dataclass(frozen=True, slots=True)
class JoinType:
    """The type exists in ``graph``; one record a key, or one without a key."""

    graph: str
    key: str | None = None
    is_extension: bool = False
    is_resolvable: bool = True
    is_interface_object: bool = False


@dataclass(frozen=True, slots=True)
class JoinField:
    """What ``graph`` has to do with a field; without a graph, the field comes from an interface object."""

    graph: str | None = None
    requires: str | None = None
    provides: str | None = None
    type: str | None = None
    is_external: bool = False
    override: str | None = None
    override_label: str | None = None
    is_used_overridden: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it says no more than that the graph has the field.

        An override says nothing more by itself: the graph that loses the field has no record, or one that is not plain.
        """
        return self == JoinField(self.graph, override=self.override)


@dataclass(slots=True)
class MergedInput:
    """An argument or an input field of the supergraph."""

    name: str
    type: str
    default: str | None = None
    description: str | None = None
    directives: list[Applied] = field(default_factory=list)
    joins: list[JoinField] = field(default_factory=list)

    def has(self, directive: str) -> bool:
        """Whether a known directive is applied."""
        return _has(self.directives, directive)


@dataclass(slots=True)
class MergedField:
    """An output field of the supergraph. ``from_interface_object`` marks those that implementers inherit."""

    name: str
    type: str
    args: dict[str, MergedInput] = field(default_factory=dict)
    description: str | None = None
    directives: list[Applied] = field(default_factory=list)
    joins: list[JoinField] = field(default_factory=list)
    from_interface_object: bool = False

    def has(self, directive: str) -> bool:
        """Whether a known directive is applied."""
        return _has(self.directives, directive)


@dataclass(slots=True)
class MergedValue:
    """An enum value of the supergraph and the graphs that define it."""

    name: str
    graphs: list[str]
    description: str | None = None
    directives: list[Applied] = field(default_factory=list)

    def has(self, directive: str) -> bool:
        """Whether a known directive is applied."""
        return _has(self.directives, directive)


@dataclass(slots=True)
class MergedType:
    """A named type of the supergraph. ``implements`` and ``members`` list the graphs for each name."""

    name: str
    kind: Kind
    description: str | None = None
    directives: list[Applied] = field(default_factory=list)
    joins: list[JoinType] = field(default_factory=list)
    implements: dict[str, list[str]] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    fields: dict[str, MergedField] = field(default_factory=dict)
    inputs: dict[str, MergedInput] = field(default_factory=dict)
    values: dict[str, MergedValue] = field(default_factory=dict)

    def has(self, directive: str) -> bool:
        """Whether a known directive is applied."""
        return _has(self.directives, directive)


@dataclass(frozen=True, slots=True)
class ComposedLink:
    """A team's own specification, linked in the supergraph because of ``@composeDirective``."""

    url: str
    imports: tuple[tuple[str, str], ...]
    namespace: str | None = None


@dataclass(slots=True)
class Supergraph:
    """Everything that is printed, and the subgraphs it comes from."""

    schemas: tuple[SubgraphSchema, ...]
    types: dict[str, MergedType]
    directive_defs: dict[str, DirectiveDef] = field(default_factory=dict)
    links: list[ComposedLink] = field(default_factory=list)
    schema_directives: list[Applied] = field(default_factory=list)
    schema_description: str | None = None

    def possible_types(self) -> Mapping[str, frozenset[str]]:
        """Runtime types by abstract type; an object type stands for itself."""
        return runtime_types((each.kind, each.name, each.implements, each.members) for each in self.types.values())

    def inputs(self) -> Iterator[tuple[str, MergedInput]]:
        """Every argument of a field and every input field, with its coordinate."""
        for each in self.types.values():
            for merged in each.fields.values():
                for arg in merged.args.values():
                    yield f"{each.name}.{merged.name}({arg.name}:)", arg
            for value in each.inputs.values():
                yield f"{each.name}.{value.name}", value


def _has(directives: list[Applied], name: str) -> bool:
    return any(each.is_known and each.name == name for each in directives)
