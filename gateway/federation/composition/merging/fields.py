"""Output fields: their merged type, who resolves them, and the ``join__field`` records that say so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.federation.composition.errors import name_list
from gateway.federation.composition.fieldsets import parse_field_set, print_field_set
from gateway.federation.composition.merging.applied import is_carried, merge_applied
from gateway.federation.composition.merging.context import MergeContext
from gateway.federation.composition.merging.descriptions import merge_descriptions
from gateway.federation.composition.merging.externals import check_externals
from gateway.federation.composition.merging.inputs import merge_arguments
from gateway.federation.composition.merging.sharing import check_sharing
from gateway.federation.composition.model import Field, Kind, SubgraphSchema, TypeDef
from gateway.federation.composition.supergraph import JoinField, MergedField, MergedType
from gateway.federation.composition.typerefs import is_subtype


@dataclass(frozen=True, slots=True)
class FieldSource:
    """One subgraph's definition of a field."""

    schema: SubgraphSchema
    parent: TypeDef
    field: Field


def merge_fields(merged: MergedType, context: MergeContext) -> None:
    """Fill in the fields of an object or interface type."""
    types = context.sources(merged.name)
    for name in dict.fromkeys(name for _, definition in types for name in definition.fields):
        sources = [
            FieldSource(schema, definition, definition.fields[name])
            for schema, definition in types
            if name in definition.fields
        ]
        merged.fields[name] = _merge_field(f"{merged.name}.{name}", merged, sources, len(types), context)


def _merge_field(
    coordinate: str, merged: MergedType, sources: Sequence[FieldSource], types: int, context: MergeContext
) -> MergedField:
    resolving = [each for each in sources if not each.field.is_external]
    name = sources[0].field.name
    if not resolving:
        subgraphs = [each.schema.name for each in sources]
        message = f'"{coordinate}" is @external wherever it is declared ({name_list(subgraphs)}): nobody resolves it'
        context.problems.error("EXTERNAL_MISSING_ON_BASE", message, subgraphs=subgraphs, coordinates=[coordinate])
        return MergedField(name, sources[0].field.type)
    _check_carried_on_external(coordinate, sources, context)
    field = MergedField(
        name,
        type=_merge_type(coordinate, resolving, context),
        args=merge_arguments(coordinate, [(each.schema, each.field.args) for each in resolving], context),
        description=merge_descriptions(coordinate, (each.field.description for each in resolving), context.problems),
        directives=merge_applied(
            coordinate, ((each.schema.name, each.field.directives) for each in resolving), context
        ),
    )
    field.joins = _joins(merged, field, sources, types, context)
    if merged.kind is Kind.OBJECT:
        check_sharing(coordinate, merged, [(each.schema, each.field) for each in sources], context)
    check_externals(
        coordinate,
        field,
        [(each.schema, each.field) for each in sources if each.field.is_external],
        resolving[0],
        context,
    )
    return field


def _merge_type(coordinate: str, sources: Sequence[FieldSource], context: MergeContext) -> str:
    merged = sources[0].field.type
    for each in sources[1:]:
        if is_subtype(each.field.type, merged, context.is_named_subtype):
            continue
        if is_subtype(merged, each.field.type, context.is_named_subtype):
            merged = each.field.type
            continue
        kinds = ", ".join(f'{source.field.type} in "{source.schema.name}"' for source in sources)
        subgraphs = [source.schema.name for source in sources]
        message = f'"{coordinate}" has types that do not merge: {kinds}'
        context.problems.error("FIELD_TYPE_MISMATCH", message, subgraphs=subgraphs, coordinates=[coordinate])
        return merged
    if any(each.field.type != merged for each in sources):
        kinds = ", ".join(f'{each.field.type} in "{each.schema.name}"' for each in sources)
        message = f'"{coordinate}" is {merged} in the supergraph, which fits all its types: {kinds}'
        context.problems.hint("INCONSISTENT_BUT_COMPATIBLE_FIELD_TYPE", message, coordinates=[coordinate])
    return merged


def _check_carried_on_external(coordinate: str, sources: Sequence[FieldSource], context: MergeContext) -> None:
    for each in sources:
        if not each.field.is_external:
            continue
        for applied in each.field.directives:
            if is_carried(applied, each.schema.name, context):
                message = f'"{coordinate}" is external and carries @{applied.text()}, which would be lost'
                context.problems.error(
                    "MERGED_DIRECTIVE_APPLICATION_ON_EXTERNAL",
                    message,
                    subgraphs=[each.schema.name],
                    coordinates=[coordinate],
                )


def _joins(
    merged: MergedType, field: MergedField, sources: Sequence[FieldSource], types: int, context: MergeContext
) -> list[JoinField]:
    """One record for each subgraph that still has the field; none at all when they would say nothing."""
    has_one_type = all(each.field.type == field.type for each in sources)
    joins: list[JoinField] = []
    for each in sources:
        shown_type = None if has_one_type else each.field.type
        losing = context.overrides.losing(each.schema, merged.name, field.name)
        if losing is not None and losing.label is None and not each.field.is_external:
            if (merged.name, field.name) in context.used_externally[each.schema.name]:
                joins.append(JoinField(each.schema.graph, type=shown_type, is_used_overridden=True))
            continue
        winning = context.overrides.winning(each.schema, merged.name, field.name)
        label = next((each.label for each in (winning, losing) if each is not None), None)
        joins.append(
            JoinField(
                each.schema.graph,
                requires=_field_set(each.field, "requires"),
                provides=_field_set(each.field, "provides"),
                type=shown_type,
                is_external=each.field.is_external,
                override=winning.source if winning is not None else None,
                override_label=label,
            )
        )
    is_everywhere = len(joins) == types
    return [] if is_everywhere and all(each.is_plain for each in joins) else joins


def _field_set(field: Field, directive: str) -> str | None:
    for applied in field.applied(directive):
        return print_field_set(parse_field_set(applied.value("fields")))
    return None


def inherit_from_interface_objects(types: Mapping[str, MergedType], context: MergeContext) -> None:
    """Give every implementer the fields that interface objects add to its interface.

    Such a field is resolved on the interface, in the graph where that is an object; on the implementer it belongs to
    no graph. Source: federation specification, ``@interfaceObject``.
    """
    for interface in types.values():
        objects = [(schema, each) for schema, each in context.sources(interface.name) if each.is_interface_object]
        names = dict.fromkeys(
            name for _, each in objects for name, field in each.fields.items() if not field.is_external
        )
        for implementer in types.values():
            if interface.name not in implementer.implements or implementer.kind is not Kind.OBJECT:
                continue
            for name in names:
                if name not in implementer.fields:
                    source = interface.fields[name]
                    implementer.fields[name] = MergedField(
                        name,
                        source.type,
                        dict(source.args),
                        source.description,
                        list(source.directives),
                        [JoinField()],
                        from_interface_object=True,
                    )
