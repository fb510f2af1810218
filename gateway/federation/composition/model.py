"""One subgraph as composition sees it: renames undone, extensions folded in, directives by their spec names."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from graphql import ConstValueNode, StringValueNode, print_ast
from graphql.utilities import value_from_ast_untyped

from gateway.federation.composition.links import Link

BUILT_IN_SCALARS = frozenset({"Int", "Float", "String", "Boolean", "ID"})


class Kind(StrEnum):
    """The kinds of named types, spelled as introspection spells them."""

    SCALAR = "SCALAR"
    OBJECT = "OBJECT"
    INTERFACE = "INTERFACE"
    UNION = "UNION"
    ENUM = "ENUM"
    INPUT_OBJECT = "INPUT_OBJECT"


ROOT_TYPES = ("Query", "Mutation", "Subscription")
# What a selection set can be applied to.
COMPOSITE = frozenset({Kind.OBJECT, Kind.INTERFACE, Kind.UNION})


@dataclass(frozen=True, slots=True)
class Subgraph:
    """What composition is given for one service.

    ``url`` is carried into ``join__graph`` as it is; composition never opens it.
    """

    name: str
    url: str
    sdl: str


def print_value(node: ConstValueNode) -> str:
    """The literal on one line, so that equal values print equally."""
    if isinstance(node, StringValueNode) and node.block:
        node = StringValueNode(value=node.value, block=False)
    return print_ast(node)


@dataclass(frozen=True, slots=True)
class Applied:
    """A directive where it is applied.

    ``name`` is the spec's name when ``is_known`` (federation's own and GraphQL's), the name in the document otherwise;
    a team's own ``@key`` beside ``@federation__key`` is therefore never taken for federation's.
    """

    name: str
    args: Mapping[str, ConstValueNode] = field(hash=False)
    is_known: bool = True
    line: int | None = field(default=None, compare=False)

    def value(self, name: str, default: Any = None) -> Any:  # a literal of unknown type: the JSON boundary of SDL
        """The argument as a Python value; enum values become strings."""
        return value_from_ast_untyped(self.args[name]) if name in self.args else default

    def text(self) -> str:
        """The application as it is printed after the ``@``."""
        args = ", ".join(f"{name}: {print_value(node)}" for name, node in self.args.items())
        return f"{self.name}({args})" if args else self.name


class _Annotated:
    """What everything that carries directives can be asked."""

    __slots__ = ()
    directives: tuple[Applied, ...]

    def applied(self, name: str) -> list[Applied]:
        """The applications of a known directive, in document order."""
        return [each for each in self.directives if each.is_known and each.name == name]

    def has(self, name: str) -> bool:
        """Whether a known directive is applied here."""
        return any(each.is_known and each.name == name for each in self.directives)


@dataclass(frozen=True, slots=True)
class InputValue(_Annotated):
    """An argument or an input field. ``default`` is the printed literal."""

    name: str
    type: str
    default: str | None = None
    description: str | None = None
    directives: tuple[Applied, ...] = ()

    @property
    def is_required(self) -> bool:
        """Whether a caller must give it: non-null and without a default."""
        return self.type.endswith("!") and self.default is None


@dataclass(frozen=True, slots=True)
class Field(_Annotated):
    """An output field of an object or interface type."""

    name: str
    type: str
    args: Mapping[str, InputValue] = field(default_factory=dict)
    description: str | None = None
    directives: tuple[Applied, ...] = ()
    line: int | None = None

    @property
    def is_external(self) -> bool:
        """Whether the subgraph only declares it, and another resolves it."""
        return self.has("external")

    def without(self, *names: str) -> "Field":
        """The same field without these known directives."""
        kept = tuple(each for each in self.directives if not (each.is_known and each.name in names))
        return Field(self.name, self.type, self.args, self.description, kept, self.line)

    def adding(self, *applied: Applied) -> "Field":
        """The same field with more directives."""
        return Field(self.name, self.type, self.args, self.description, (*self.directives, *applied), self.line)


@dataclass(frozen=True, slots=True)
class EnumValue(_Annotated):
    """One value of an enum."""

    name: str
    description: str | None = None
    directives: tuple[Applied, ...] = ()


@dataclass(frozen=True, slots=True)
class TypeDef(_Annotated):
    """A named type with its extensions folded in.

    ``is_extension`` means that the subgraph only extends it (``extend type`` or ``@extends``).
    """

    name: str
    kind: Kind
    description: str | None = None
    directives: tuple[Applied, ...] = ()
    interfaces: tuple[str, ...] = ()
    fields: Mapping[str, Field] = field(default_factory=dict)
    inputs: Mapping[str, InputValue] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    values: Mapping[str, EnumValue] = field(default_factory=dict)
    is_extension: bool = False
    line: int | None = None

    @property
    def is_interface_object(self) -> bool:
        """Whether it stands here, as an object, for an interface of other subgraphs."""
        return self.has("interfaceObject")


@dataclass(frozen=True, slots=True)
class DirectiveDef:
    """A directive definition that is not federation's own."""

    name: str
    args: Mapping[str, InputValue]
    locations: frozenset[str]
    is_repeatable: bool
    description: str | None = None


@dataclass(frozen=True)
class SubgraphSchema:
    """A subgraph read into records. Root types are Query, Mutation and Subscription, whatever the SDL calls them."""

    name: str
    url: str
    graph: str
    version: tuple[int, int]
    links: tuple[Link, ...]
    types: Mapping[str, TypeDef]
    directive_defs: Mapping[str, DirectiveDef]
    schema_directives: tuple[Applied, ...] = ()
    schema_description: str | None = None

    @property
    def is_fed2(self) -> bool:
        """Whether it links a Federation 2 specification."""
        return self.version >= (2, 0)

    @cached_property
    def possible_types(self) -> Mapping[str, frozenset[str]]:
        """Runtime types by abstract type, for the types this subgraph knows. An object type stands for itself."""
        return runtime_types((each.kind, each.name, each.interfaces, each.members) for each in self.types.values())

    def fields(self) -> Iterator[tuple[TypeDef, Field]]:
        """Every output field with its type, in document order."""
        for each in self.types.values():
            for each_field in each.fields.values():
                yield each, each_field


def runtime_types(
    types: Iterable[tuple[Kind, str, Iterable[str], Iterable[str]]],
) -> Mapping[str, frozenset[str]]:
    """Runtime types by abstract type, from each type's kind, name, interfaces and members."""
    found: dict[str, set[str]] = {}
    for kind, name, interfaces, members in types:
        if kind is Kind.OBJECT:
            found.setdefault(name, set()).add(name)
            for interface in interfaces:
                found.setdefault(interface, set()).add(name)
        elif kind is Kind.UNION:
            found.setdefault(name, set()).update(members)
        elif kind is Kind.INTERFACE:
            found.setdefault(name, set())
    return {name: frozenset(kinds) for name, kinds in found.items()}
