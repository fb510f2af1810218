"""Extensions extend something: another subgraph's definition, or one of their own."""

from collections.abc import Sequence

from gateway.federation.composition.errors import Problems, name_list
from gateway.federation.composition.model import ROOT_TYPES, SubgraphSchema


def check_bases(schemas: Sequence[SubgraphSchema], problems: Problems) -> None:
    """Record types that every subgraph extends; root types are never defined in that sense.

    Comes before Federation 1 is upgraded, which may take an extension that adds nothing out of its subgraph.
    """
    names = {name for schema in schemas for name in schema.types if name not in ROOT_TYPES}
    for name in sorted(names):
        extending = [schema for schema in schemas if name in schema.types]
        if all(schema.types[name].is_extension for schema in extending):
            subgraphs = [schema.name for schema in extending]
            message = f'"{name}" is extended in {name_list(subgraphs)} and defined nowhere'
            problems.error("EXTENSION_WITH_NO_BASE", message, subgraphs=subgraphs, coordinates=[name])
