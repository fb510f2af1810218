"""External fields must agree with the field they stand for."""

from collections.abc import Sequence
from typing import Protocol

from gateway.federation.composition.merging.context import MergeContext
from gateway.federation.composition.model import Field, SubgraphSchema
from gateway.federation.composition.supergraph import MergedField
from gateway.federation.composition.typerefs import is_subtype


class _Source(Protocol):
    @property
    def schema(self) -> SubgraphSchema: ...


def check_externals(
    coordinate: str,
    merged: MergedField,
    externals: Sequence[tuple[SubgraphSchema, Field]],
    base: _Source,
    context: MergeContext,
) -> None:
    """Record external declarations whose type or arguments contradict the merged field."""
    for schema, field in externals:

        def error(code: str, at: str, message: str, subgraph: str = schema.name) -> None:
            context.problems.error(code, message, subgraphs=[base.schema.name, subgraph], coordinates=[at])

        if field.type != merged.type:
            message = f'"{coordinate}" is {merged.type}; "{schema.name}" declares it external as {field.type}'
            error("EXTERNAL_TYPE_MISMATCH", coordinate, message)
        for name, arg in merged.args.items():
            at = f"{coordinate}({name}:)"
            mine = field.args.get(name)
            if mine is None:
                message = f'"{schema.name}" declares "{coordinate}" external without its argument "{name}"'
                error("EXTERNAL_ARGUMENT_MISSING", at, message)
                continue
            if not is_subtype(arg.type, mine.type, context.is_named_subtype):
                message = f'"{at}" is {arg.type}; "{schema.name}" declares it external as {mine.type}'
                error("EXTERNAL_ARGUMENT_TYPE_MISMATCH", at, message)
            if mine.default != arg.default:
                message = f'"{at}" defaults to {arg.default}; "{schema.name}" declares it external with {mine.default}'
                error("EXTERNAL_ARGUMENT_DEFAULT_MISMATCH", at, message)
