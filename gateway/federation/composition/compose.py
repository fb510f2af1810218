"""Subgraph SDLs in, supergraph SDL or every reason against it out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.federation.composition.errors import CompositionError, CompositionHint, Problems
from gateway.federation.composition.fed1 import upgrade, without_fake_externals
from gateway.federation.composition.merged_rules import check_supergraph
from gateway.federation.composition.merging import merge_subgraphs
from gateway.federation.composition.model import Kind, Subgraph, SubgraphSchema, TypeDef
from gateway.federation.composition.printing import print_supergraph
from gateway.federation.composition.reading import graph_names, read_subgraph
from gateway.federation.composition.rules import check_bases, check_subgraph
from gateway.federation.composition.satisfiability import check_satisfiability


@dataclass(frozen=True, slots=True)
class CompositionResult:
    """``supergraph_sdl`` is None exactly when there are ``errors``. ``hints`` may come with either."""

    supergraph_sdl: str | None
    errors: tuple[CompositionError, ...] = ()
    hints: tuple[CompositionHint, ...] = ()

    @property
    def is_success(self) -> bool:
        """Whether there is a supergraph."""
        return self.supergraph_sdl is not None


def compose(subgraphs: Sequence[Subgraph]) -> CompositionResult:
    """Compose subgraphs into a supergraph; the order in which they are given does not matter.

    Pure: nothing is read, written or raised. Each stage reports all it finds; a later one runs only when the earlier
    found nothing, because what it would say would be noise. Sources: the Federation 2 and join specifications, and
    docs/decisions/federation-composition.md for what they leave open.
    """
    problems = Problems()
    schemas = _read(subgraphs, problems)
    # Upgrading one Federation 1 document takes all the others, so all must have been read.
    if len(schemas) == len(subgraphs):
        check_bases(schemas, problems)
        schemas = _normalise(schemas, problems)
        for schema in schemas:
            check_subgraph(schema, problems)
    if problems.errors:
        return _failed(problems)
    supergraph, overrides = merge_subgraphs(schemas, problems)
    if not problems.errors:
        check_supergraph(supergraph, problems)
    if not problems.errors:
        check_satisfiability(supergraph, overrides, problems)
    if problems.errors:
        return _failed(problems)
    return CompositionResult(print_supergraph(supergraph), hints=tuple(problems.hints))


def _failed(problems: Problems) -> CompositionResult:
    return CompositionResult(None, tuple(problems.errors), tuple(problems.hints))


def _read(subgraphs: Sequence[Subgraph], problems: Problems) -> list[SubgraphSchema]:
    ordered = sorted(subgraphs, key=lambda each: each.name)
    _check_names(ordered, problems)
    graphs = graph_names([each.name for each in ordered])
    read = [read_subgraph(each, graph, problems) for each, graph in zip(ordered, graphs, strict=True)]
    return [schema for schema in read if schema is not None]


def _check_names(subgraphs: Sequence[Subgraph], problems: Problems) -> None:
    names = [each.name for each in subgraphs]
    for name in dict.fromkeys(names):
        if not name.strip():
            problems.error("INVALID_SUBGRAPH_NAME", "a subgraph has no name")
        elif name.startswith("_"):
            message = f'"{name}" starts with an underscore, which is reserved'
            problems.error("INVALID_SUBGRAPH_NAME", message, subgraphs=[name])
        elif names.count(name) > 1:
            message = f'"{name}" is the name of {names.count(name)} subgraphs'
            problems.error("INVALID_SUBGRAPH_NAME", message, subgraphs=[name])


def _normalise(schemas: Sequence[SubgraphSchema], problems: Problems) -> list[SubgraphSchema]:
    """Every subgraph by the rules of Federation 2."""
    found: list[SubgraphSchema] = []
    for schema in schemas:
        others = [each for each in schemas if each is not schema]
        found.append(_with_query(without_fake_externals(upgrade(schema, others, problems), ())))
    return found


def _with_query(schema: SubgraphSchema) -> SubgraphSchema:
    # Every subgraph has a Query, if only for the entities that the gateway asks it for.
    return replace(schema, types={"Query": TypeDef("Query", Kind.OBJECT), **schema.types})
