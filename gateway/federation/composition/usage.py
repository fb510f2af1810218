"""Which fields of a subgraph its own field sets and interfaces rely on."""

from collections.abc import Iterator

from gateway.federation.composition.fieldsets import FieldSetError, covered, parse_field_set, resolve
from gateway.federation.composition.model import COMPOSITE, SubgraphSchema, TypeDef
from gateway.federation.composition.typerefs import named


def key_coordinates(schema: SubgraphSchema) -> frozenset[tuple[str, str]]:
    """Coordinates (type, field) that the keys of a subgraph name, nested ones too."""
    return frozenset(
        coordinate
        for parent in schema.types.values()
        for key in parent.applied("key")
        for coordinate in _covered(schema, parent, key.value("fields"))
    )


def provided_coordinates(schema: SubgraphSchema) -> frozenset[tuple[str, str]]:
    """Coordinates (type, field) that the subgraph resolves on the paths its ``@provides`` begin."""
    return frozenset(
        coordinate
        for _, field in schema.fields()
        for applied in field.applied("provides")
        if (child := schema.types.get(named(field.type))) is not None
        for coordinate in _covered(schema, child, applied.value("fields"))
    )


def used_coordinates(schema: SubgraphSchema) -> frozenset[tuple[str, str]]:
    """Coordinates (type, field) that a field set of the subgraph names or one of its interfaces demands."""
    found = set(key_coordinates(schema) | provided_coordinates(schema))
    for parent in schema.types.values():
        for interface in parent.interfaces:
            if interface in schema.types:
                found.update((parent.name, name) for name in schema.types[interface].fields)
        for field in parent.fields.values():
            for applied in field.applied("requires"):
                found.update(_covered(schema, parent, applied.value("fields")))
    return frozenset(found)


def _covered(schema: SubgraphSchema, parent: TypeDef, text: object) -> Iterator[tuple[str, str]]:
    if parent.kind not in COMPOSITE:
        return
    try:
        selections = parse_field_set(str(text))
    except FieldSetError:
        return
    yield from covered(schema, resolve(schema, parent, selections)[0])
