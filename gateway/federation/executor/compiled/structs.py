"""The classes of an operation: what answers are decoded into, and the response is encoded from.

One class a position and source of its objects; all those of a position encode alike. What the source gives must be
there; the rest is filled in by others, and left out of the JSON until it is. A value of another type than the API
schema's is a `msgspec.ValidationError`.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from graphql import (
    GraphQLEnumType,
    GraphQLOutputType,
    GraphQLScalarType,
    is_list_type,
    is_non_null_type,
    is_specified_scalar_type,
)

from gateway.federation.executor.compiled.positions import TYPENAME, Position, Slot, Source

# Wider than the specification's where subgraphs are known to be: an ID may be a number (§3.5.5).
_SCALARS: dict[str, Any] = {"ID": str | int, "String": str, "Int": int, "Float": int | float, "Boolean": bool}
_LEAF = str | int | float | bool | None


class Structs:
    """The classes of one layout, made when they are first asked for."""

    def __init__(self) -> None:
        self._made: dict[tuple[Position, Source], type[msgspec.Struct]] = {}

    def of(self, position: Position, source: Source) -> type[msgspec.Struct]:
        """The class of the objects at a position that come with a source."""
        made = self._made.get((position, source))
        if made is None:
            slots = position.ordered()
            made = self._made[position, source] = _struct(
                "Position",
                [self._field(position, slot, source, required=slot.given(source, position.types)) for slot in slots],
                slots,
                self._aliased(position, source, position.types),
                position.aliases.get(source, ()),
            )
        return made

    def answer(self, position: Position, source: Source, types: frozenset[str]) -> type[msgspec.Struct]:
        """The class of what a source adds to the objects of these types at a position."""
        slots = filled_by(position, source)
        fields = [self._field(position, slot, source, required=slot.given(source, types)) for slot in slots]
        aliased = self._aliased(position, source, types)
        return _struct("Answer", fields, slots, aliased, position.aliases.get(source, ()))

    def _aliased(self, position: Position, source: Source, types: frozenset[str]) -> list[tuple[Any, ...]]:
        fields: list[tuple[Any, ...]] = []
        for alias in position.aliases.get(source, ()):
            kind = self.value(alias.slot, source)
            if alias.given(source, types):
                fields.append((alias.attribute, kind))
            else:
                fields.append((alias.attribute, kind | msgspec.UnsetType, msgspec.UNSET))
        return fields

    def _field(self, position: Position, slot: Slot, source: Source, *, required: bool) -> tuple[Any, ...]:
        kind: Any
        if (slot.key == TYPENAME or slot.typename) and not position.abstract:
            (name,) = position.types
            return slot.attribute, Literal[name], name
        if slot.typename:
            return slot.attribute, str | msgspec.UnsetType, msgspec.UNSET
        if slot.key == TYPENAME:  # one of the possible types; an inaccessible one is the plain executor's to hide
            kind = Literal[tuple(sorted(position.types))]
        elif slot.below is not None and source not in slot.fillers:
            kind = None
        else:
            kind = self.value(slot, source)
        if required:
            return slot.attribute, kind
        return slot.attribute, msgspec.UnsetType if kind is None else kind | msgspec.UnsetType, msgspec.UNSET

    def value(self, slot: Slot, source: Source) -> Any:
        """The Python type of a slot's value."""
        if slot.type is None:
            return _LEAF if slot.exact else Any
        return self._type(slot.type, slot, source)

    def _type(self, type_: GraphQLOutputType, slot: Slot, source: Source) -> Any:
        if is_non_null_type(type_):
            return self._nullable(type_.of_type, slot, source)
        kind = self._nullable(type_, slot, source)
        return kind if kind is Any else kind | None

    def _nullable(self, type_: GraphQLOutputType, slot: Slot, source: Source) -> Any:
        if is_list_type(type_):
            return list[self._type(type_.of_type, slot, source)]  # type: ignore[misc]  # made at run time
        if slot.below is not None:
            return self.of(slot.below, source)
        if isinstance(type_, GraphQLEnumType):
            return Literal[tuple(type_.values)]
        if isinstance(type_, GraphQLScalarType):
            return _SCALARS[type_.name] if is_specified_scalar_type(type_) else Any
        raise TypeError(f"{slot.key} has nothing below")


def filled_by(position: Position, source: Source) -> list[Slot]:
    """What a source adds to objects that are there already, by key."""
    return sorted((slot for slot in position.slots.values() if source in slot.fillers), key=lambda slot: slot.key)


def data(members: Sequence[tuple[str, Any]]) -> type[msgspec.Struct]:
    """The class of `data` with entities, by response key. What nobody waits for may be missing (`Any`)."""
    fields: list[Any] = [
        (f"d{index}", kind, None) if kind is Any else (f"d{index}", kind) for index, (_, kind) in enumerate(members)
    ]
    names = {f"d{index}": key for index, (key, _) in enumerate(members)}
    return msgspec.defstruct("Data", fields, rename=names, kw_only=True, gc=False)


def representation(type_name: str, names: Sequence[str]) -> type[msgspec.Struct]:
    """The class of representations: `__typename` first, then the inputs in order."""
    fields: list[Any] = [(f"i{index}", Any) for index in range(len(names))]
    renamed = {f"i{index}": name for index, name in enumerate(names)}
    return msgspec.defstruct("Representation", fields, rename=renamed, tag_field=TYPENAME, tag=type_name, gc=False)


def _struct(
    name: str, fields: list[Any], slots: Sequence[Slot], aliased: list[Any], aliases: Sequence[Any]
) -> type[msgspec.Struct]:
    names = {slot.attribute: slot.response for slot in slots}
    names |= {alias.attribute: alias.key for alias in aliases}
    return msgspec.defstruct(name, [*fields, *aliased], rename=names, kw_only=True, gc=False)
