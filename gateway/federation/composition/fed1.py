"""Federation 1 documents, read as Federation 2 would have them written.

Federation 1 was lax where its successor is strict: extensions marked their key fields external, externals were left
behind unused, ``@requires`` named what the subgraph resolves itself, and interfaces carried directives without effect.
Sharing is not rewritten: every field of such a document counts as shareable (`merging.sharing`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from graphql import ConstValueNode, EnumValueNode, ListValueNode, StringValueNode

from gateway.federation.composition.errors import Problems
from gateway.federation.composition.fieldsets import (
    FieldSet,
    FieldSetError,
    On,
    Select,
    is_external_anywhere,
    parse_field_set,
    print_field_set,
    resolve,
)
from gateway.federation.composition.model import COMPOSITE, Applied, Field, Kind, SubgraphSchema, TypeDef
from gateway.federation.composition.typerefs import named
from gateway.federation.composition.usage import used_coordinates


def upgrade(schema: SubgraphSchema, others: Sequence[SubgraphSchema], problems: Problems) -> SubgraphSchema:
    """The subgraph by Federation 2's rules; one that is Federation 2 already comes back as it is."""
    if schema.is_fed2:
        return schema
    schema = _map_fields(schema, lambda _, field: _with_string_field_sets(field))
    schema = _map_types(schema, _with_string_key)
    schema = _map_types(schema, _without_type_external)
    schema = _map_types(schema, _without_interface_directives)
    schema = without_fake_externals(schema, others)
    schema = _trim_field_sets(schema)
    return _without_unused_externals(schema, problems)


def _map_types(schema: SubgraphSchema, change: Callable[[TypeDef], TypeDef]) -> SubgraphSchema:
    return replace(schema, types={name: change(each) for name, each in schema.types.items()})


def _map_fields(schema: SubgraphSchema, change: Callable[[TypeDef, Field], Field]) -> SubgraphSchema:
    def with_fields(parent: TypeDef) -> TypeDef:
        return replace(parent, fields={name: change(parent, field) for name, field in parent.fields.items()})

    return _map_types(schema, with_fields)


def _as_string(node: ConstValueNode) -> ConstValueNode:
    """Federation 1 took lists of names, and bare names, for field sets."""
    match node:
        case EnumValueNode():
            return StringValueNode(value=node.value)
        case ListValueNode(values=values) if all(isinstance(each, StringValueNode | EnumValueNode) for each in values):
            return StringValueNode(value=" ".join(getattr(each, "value", "") for each in values))
        case _:
            return node


def _string_argument(applied: Applied) -> Applied:
    if not applied.is_known or "fields" not in applied.args:
        return applied
    return replace(applied, args={**applied.args, "fields": _as_string(applied.args["fields"])})


def _with_string_field_sets(field: Field) -> Field:
    return replace(field, directives=tuple(_string_argument(each) for each in field.directives))


def _with_string_key(parent: TypeDef) -> TypeDef:
    return replace(parent, directives=tuple(_string_argument(each) for each in parent.directives))


def _without_type_external(parent: TypeDef) -> TypeDef:
    # On a whole type it had no effect in Federation 1.
    kept = tuple(each for each in parent.directives if not (each.is_known and each.name == "external"))
    return replace(parent, directives=kept)


def _without_interface_directives(parent: TypeDef) -> TypeDef:
    if parent.kind is not Kind.INTERFACE:
        return parent
    fields = {name: field.without("external", "provides", "requires") for name, field in parent.fields.items()}
    kept = tuple(each for each in parent.directives if not (each.is_known and each.name == "key"))
    return replace(parent, fields=fields, directives=kept)


def without_fake_externals(schema: SubgraphSchema, others: Sequence[SubgraphSchema]) -> SubgraphSchema:
    """Key fields of extensions are resolved here, whatever ``@external`` says.

    Extensions had to mark the key fields of their base; only the top level of a key is meant. A Federation 1 extension
    without a key of its own uses the first key of the subgraph that defines the type. Federation 2 keeps the habit for
    extensions that have a key.
    """

    def change(parent: TypeDef) -> TypeDef:
        if not parent.is_extension or parent.kind is not Kind.OBJECT:
            return parent
        keys = parent.applied("key")
        if not keys and not schema.is_fed2:
            keys = next((found for each in others if (found := _base_keys(each, parent.name))), [])[:1]
        names = {each.name for key in keys for each in _selections(key.value("fields")) if isinstance(each, Select)}
        fields = {name: field.without("external") if name in names else field for name, field in parent.fields.items()}
        return replace(parent, fields=fields)

    return _map_types(schema, change)


def _base_keys(schema: SubgraphSchema, name: str) -> list[Applied]:
    parent = schema.types.get(name)
    return [] if parent is None or parent.is_extension else parent.applied("key")


def _selections(text: object) -> FieldSet:
    try:
        return parse_field_set(text) if isinstance(text, str) else ()
    except FieldSetError:
        return ()


def _trim_field_sets(schema: SubgraphSchema) -> SubgraphSchema:
    """``@requires`` and ``@provides`` had no effect on fields that are not external; those that keep none go."""

    def change(parent: TypeDef, field: Field) -> Field:
        child = schema.types.get(named(field.type))
        kept: list[Applied] = []
        for applied in field.directives:
            target = {"requires": parent, "provides": child}.get(applied.name) if applied.is_known else None
            if applied.is_known and applied.name == "provides" and (child is None or child.kind not in COMPOSITE):
                continue
            selections = _selections(applied.value("fields")) if target is not None else ()
            # What does not parse or resolve is left for validation to name.
            if target is None or not selections or resolve(schema, target, selections)[1]:
                kept.append(applied)
            elif trimmed := _only_external(schema, target, selections):
                fields = StringValueNode(value=print_field_set(trimmed))
                kept.append(applied if trimmed == selections else replace(applied, args={"fields": fields}))
        return replace(field, directives=tuple(kept))

    return _map_fields(schema, change)


def _only_external(schema: SubgraphSchema, parent: TypeDef, selections: FieldSet) -> FieldSet:
    kept: list[Select | On] = []
    for each in selections:
        if isinstance(each, On):
            inner = _only_external(schema, schema.types[each.type] if each.type else parent, each.selections)
            if inner:
                kept.append(replace(each, selections=inner))
            continue
        field = parent.fields.get(each.name)
        if field is None or is_external_anywhere(schema, parent, field):
            kept.append(each)
            continue
        child = schema.types.get(named(field.type))
        inner = _only_external(schema, child, each.selections) if child is not None and each.selections else ()
        if inner:
            kept.append(replace(each, selections=inner))
    return tuple(kept)


def _without_unused_externals(schema: SubgraphSchema, problems: Problems) -> SubgraphSchema:
    used = used_coordinates(schema)
    types: dict[str, TypeDef] = {}
    emptied: set[str] = set()
    for name, parent in schema.types.items():
        fields = {each: field for each, field in parent.fields.items() if not field.is_external or (name, each) in used}
        if parent.fields and not fields:
            emptied.add(name)
        else:
            types[name] = replace(parent, fields=fields)
    for name in sorted(emptied):
        if _is_referenced(types, name):
            message = f'"{name}" holds nothing but external fields that nothing uses'
            problems.error("TYPE_WITH_ONLY_UNUSED_EXTERNAL", message, subgraphs=[schema.name], coordinates=[name])
    return replace(schema, types=types)


def _is_referenced(types: Mapping[str, TypeDef], name: str) -> bool:
    return any(
        name in parent.members or any(named(field.type) == name for field in parent.fields.values())
        for parent in types.values()
    )
