"""``@shareable``: a field that several subgraphs resolve must be declared so by all of them."""

from collections.abc import Sequence

from gateway.federation.composition.errors import name_list
from gateway.federation.composition.merging.context import MergeContext
from gateway.federation.composition.model import COMPOSITE, Field, Kind, SubgraphSchema, TypeDef
from gateway.federation.composition.supergraph import MergedType
from gateway.federation.composition.typerefs import named


def check_sharing(
    coordinate: str, merged: MergedType, sources: Sequence[tuple[SubgraphSchema, Field]], context: MergeContext
) -> None:
    """Record INVALID_FIELD_SHARING, or an abstract type whose subgraphs cannot agree on a runtime type."""
    name = sources[0][1].name
    ways: list[tuple[SubgraphSchema, bool, str]] = []
    for schema, field in sources:
        if field.is_external:
            # Resolved on some paths only, which its own declaration says as clearly as @shareable would.
            if (merged.name, name) in context.provided[schema.name]:
                ways.append((schema, True, ""))
            continue
        losing = context.overrides.losing(schema, merged.name, name)
        # With a label only one of the two resolves the field for any one request.
        if losing is None:
            ways.append((schema, _is_shareable(schema, schema.types[merged.name], field, context), ""))
    for interface in merged.implements:
        for schema, definition in context.sources(interface):
            mine = definition.fields.get(name) if definition.is_interface_object else None
            if mine is not None and not mine.is_external and merged.name not in schema.types:
                through = f' (through interface object "{interface}")'
                ways.append((schema, _is_shareable(schema, definition, mine, context), through))
    if len(ways) > 1 and not all(shareable for _, shareable, _ in ways):
        not_shareable = [schema.name for schema, shareable, _ in ways if not shareable]
        through = "".join(f'; "{schema.name}" resolves it{through}' for schema, _, through in ways if through)
        message = (
            f'"{coordinate}" is resolved by {name_list(schema.name for schema, _, _ in ways)}, '
            f"and not shareable in {name_list(not_shareable)}{through}"
        )
        subgraphs = [schema.name for schema, _, _ in ways]
        context.problems.error("INVALID_FIELD_SHARING", message, subgraphs=subgraphs, coordinates=[coordinate])
    resolving = [(schema, field) for schema, field in sources if not field.is_external]
    _check_runtime_types(coordinate, resolving, context)


def _is_shareable(schema: SubgraphSchema, parent: TypeDef, field: Field, context: MergeContext) -> bool:
    """Whether others may resolve the field too: declared so, part of a key, or Federation 1 and declared by others."""
    if field.has("shareable") or (parent.name, field.name) in context.in_keys[schema.name]:
        return True
    # A subscription is one stream from one subgraph, and never was shared.
    if schema.is_fed2 or parent.name == "Subscription":
        return False
    return any(
        other is not schema and field.name in definition.fields for other, definition in context.sources(parent.name)
    )


def _check_runtime_types(
    coordinate: str, resolving: Sequence[tuple[SubgraphSchema, Field]], context: MergeContext
) -> None:
    if len(resolving) < 2:
        return
    possible: list[frozenset[str]] = []
    is_abstract = False
    for schema, field in resolving:
        definition = schema.types.get(named(field.type))
        if definition is None or definition.kind not in COMPOSITE:
            return
        if definition.is_interface_object:
            continue
        is_abstract = is_abstract or definition.kind is not Kind.OBJECT
        possible.append(schema.possible_types.get(definition.name, frozenset()))
    if not is_abstract or not possible:
        return
    subgraphs = [schema.name for schema, _ in resolving]
    if not frozenset.intersection(*possible):
        message = f'"{coordinate}" is shared by {name_list(subgraphs)}, whose possible types have none in common'
        context.problems.error(
            "SHAREABLE_HAS_MISMATCHED_RUNTIME_TYPES", message, subgraphs=subgraphs, coordinates=[coordinate]
        )
    elif len(set(possible)) > 1:
        message = f'"{coordinate}" is shared by {name_list(subgraphs)}, whose possible types differ'
        context.problems.hint(
            "INCONSISTENT_RUNTIME_TYPES_FOR_SHAREABLE_RETURN", message, subgraphs=subgraphs, coordinates=[coordinate]
        )
