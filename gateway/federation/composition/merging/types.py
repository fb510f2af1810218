"""Named types: one kind for each name, the ``join__type`` records, interfaces and union members."""

from gateway.federation.composition.fieldsets import parse_field_set, print_field_set
from gateway.federation.composition.merging.applied import merge_applied
from gateway.federation.composition.merging.context import MergeContext
from gateway.federation.composition.merging.descriptions import merge_descriptions
from gateway.federation.composition.model import ROOT_TYPES, Kind, SubgraphSchema, TypeDef
from gateway.federation.composition.supergraph import JoinType, MergedType

_KIND_WORDS = {Kind.INPUT_OBJECT: "input type", Kind.OBJECT: "object type", Kind.INTERFACE: "interface"}


def declare_types(context: MergeContext) -> None:
    """Enter every type without its parts; names that stand for several kinds are recorded and left out."""
    for name in sorted({name for schema in context.schemas for name in schema.types}):
        sources = context.sources(name)
        kinds = {_kind(definition) for _, definition in sources}
        if len(kinds) > 1:
            listed = ", ".join(f'{_word(definition)} in "{schema.name}"' for schema, definition in sources)
            context.problems.error(
                "TYPE_KIND_MISMATCH",
                f'"{name}" is {listed}',
                subgraphs=[schema.name for schema, _ in sources],
                coordinates=[name],
            )
            continue
        context.types[name] = _declare(name, kinds.pop(), sources, context)


def _kind(definition: TypeDef) -> Kind:
    return Kind.INTERFACE if definition.is_interface_object else definition.kind


def _word(definition: TypeDef) -> str:
    if definition.is_interface_object:
        return "an interface object"
    word = _KIND_WORDS.get(definition.kind, definition.kind.lower())
    return f"{'an' if word[0] in 'aeio' else 'a'} {word}"


def _declare(name: str, kind: Kind, sources: list[tuple[SubgraphSchema, TypeDef]], context: MergeContext) -> MergedType:
    merged = MergedType(
        name,
        kind,
        merge_descriptions(name, (definition.description for _, definition in sources), context.problems),
        merge_applied(name, ((schema.name, definition.directives) for schema, definition in sources), context),
    )
    for schema, definition in sources:
        merged.joins += _join_types(schema, definition)
        for interface in definition.interfaces:
            merged.implements.setdefault(interface, []).append(schema.graph)
        for member in definition.members:
            merged.members.setdefault(member, []).append(schema.graph)
    return merged


def _join_types(schema: SubgraphSchema, definition: TypeDef) -> list[JoinType]:
    # An extension of a root type is how every subgraph but one would have to write it: it says nothing.
    is_extension = schema.is_fed2 and definition.is_extension and definition.name not in ROOT_TYPES
    keys = [
        JoinType(
            schema.graph,
            key=print_field_set(parse_field_set(key.value("fields"))),
            is_extension=is_extension,
            is_resolvable=key.value("resolvable", True) is not False,
            is_interface_object=definition.is_interface_object,
        )
        for key in definition.applied("key")
    ]
    return keys or [
        JoinType(schema.graph, is_extension=is_extension, is_interface_object=definition.is_interface_object)
    ]
