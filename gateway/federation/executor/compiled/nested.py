"""Objects inside representations: keys and requirements that are objects themselves."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET

from gateway.federation.executor.compiled.positions import TYPENAME, Position
from gateway.federation.planner.plan import InputField


def builder(position: Position, wanted: InputField) -> Callable[[Any], Any]:
    """`build(value)`: what is sent of an object, or of lists of them: what is there, and null where it is null."""
    parts = [_part(position, each) for each in wanted.fields or ()]
    typename = _typename(position)
    named = wanted.typename and position.abstract

    def build(value: Any) -> Any:
        if isinstance(value, list):
            return [build(item) for item in value]
        if value is None:
            return None
        type_name = getattr(value, typename) if typename else UNSET
        built: dict[str, Any] = {TYPENAME: type_name} if named and type_name is not UNSET else {}
        for name, attribute, types, below in parts:
            found = getattr(value, attribute)
            if found is UNSET or (types is not None and type_name not in types):
                continue
            if below is not None:
                found = below(found)
            known = built.get(name)
            built[name] = {**known, **found} if isinstance(known, dict) and isinstance(found, dict) else found
        return built

    return build


def identifier(position: Position, fields: Sequence[InputField]) -> Callable[[Any], bool]:
    """`identified(value)`: whether no part of a key is missing or null, in an object or in lists of them."""
    parts = []
    for field in fields:
        name, attribute, types, _ = _part(position, field)
        slot = position.slots[field.key]
        below = None if slot.below is None or field.fields is None else identifier(slot.below, field.fields)
        parts.append((name, attribute, types, below))
    typename = _typename(position)

    def identified(value: Any) -> bool:
        if isinstance(value, list):
            return all(identified(item) for item in value)
        if value is None or value is UNSET:
            return False
        for _, attribute, types, below in parts:
            if types is not None and (getattr(value, typename) if typename else UNSET) not in types:
                continue
            found = getattr(value, attribute)
            if found is None or found is UNSET or (below is not None and not below(found)):
                return False
        return True

    return identified


def _part(position: Position, field: InputField) -> tuple[str, str, frozenset[str] | None, Callable[[Any], Any] | None]:
    slot = position.slots[field.key]
    below = None if slot.below is None or field.fields is None else builder(slot.below, field)
    types = None if field.types is None or field.types >= position.types else field.types
    return field.name, slot.attribute, types, below


def _typename(position: Position) -> str:
    slot = position.slots.get(TYPENAME)
    return slot.attribute if slot is not None else ""
