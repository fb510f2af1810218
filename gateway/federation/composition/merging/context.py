"""What every merging step shares: the subgraphs, what has been decided so far, and where problems go."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from gateway.federation.composition.errors import Problems
from gateway.federation.composition.merging.overrides import Overrides
from gateway.federation.composition.model import SubgraphSchema, TypeDef
from gateway.federation.composition.supergraph import ComposedLink, MergedType
from gateway.federation.composition.usage import key_coordinates, provided_coordinates, used_coordinates


@dataclass(frozen=True, slots=True)
class ComposedDirective:
    """A team's own directive that is carried into the supergraph, from the subgraphs that ask for it."""

    name: str
    is_repeatable: bool
    link: ComposedLink
    subgraphs: frozenset[str]


@dataclass(frozen=True)
class MergeContext:
    """One merge. ``types`` fills up kind by kind; a step may read what the steps before it have put there."""

    schemas: tuple[SubgraphSchema, ...]
    overrides: Overrides
    composed: Mapping[str, ComposedDirective]
    types: dict[str, MergedType]
    problems: Problems

    def sources(self, type_name: str) -> list[tuple[SubgraphSchema, TypeDef]]:
        """The subgraphs that know a type, with their definitions, in the supergraph's order."""
        return [(schema, schema.types[type_name]) for schema in self.schemas if type_name in schema.types]

    @cached_property
    def used_externally(self) -> Mapping[str, frozenset[tuple[str, str]]]:
        """By subgraph, the coordinates its own field sets name or its interfaces demand."""
        return {schema.name: used_coordinates(schema) for schema in self.schemas}

    @cached_property
    def in_keys(self) -> Mapping[str, frozenset[tuple[str, str]]]:
        """By subgraph, the coordinates its keys name."""
        return {schema.name: key_coordinates(schema) for schema in self.schemas}

    @cached_property
    def provided(self) -> Mapping[str, frozenset[tuple[str, str]]]:
        """By subgraph, the coordinates its ``@provides`` name."""
        return {schema.name: provided_coordinates(schema) for schema in self.schemas}

    def is_named_subtype(self, sub: str, sup: str) -> bool:
        """Whether ``sub`` implements ``sup`` or is a member of it, in any subgraph."""
        return any(
            sub in schema.possible_types.get(sup, frozenset())
            or (sub in schema.types and sup in schema.types[sub].interfaces)
            for schema in self.schemas
        )
