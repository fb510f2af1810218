"""The classes of an operation: what answers are decoded into, and the response is encoded from.

One class a position. What the position's own request gives must be there; the rest is filled in by others, and left out
of the JSON until it is. A value of another type than the API schema's is a `msgspec.ValidationError`.
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

from gateway.federation.executor.compiled.layout import TYPENAME, Asked, Layout, Position, Slot
from gateway.federation.planner.plan import InputField

# Wider than the specification's where subgraphs are known to be: an ID may be a number (§3.5.5).
_SCALARS: dict[str, Any] = {"ID": str | int, "String": str, "Int": int, "Float": int | float, "Boolean": bool}
_LEAF = str | int | float | bool | None


class Structs:
    """The classes of one layout, made when they are first asked for."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._made: dict[Position, type[msgspec.Struct]] = {}

    def of(self, position: Position) -> type[msgspec.Struct]:
        """The class of the objects at a position."""
        made = self._made.get(position)
        if made is None:
            slots = list(position.slots.values())
            ordered = [s for s in slots if s.visible] + [s for s in slots if not s.visible]
            fields = [
                self._field(position, slot, required=slot.fillers.get(position.creator, frozenset()) >= position.types)
                for slot in ordered
            ]
            made = self._made[position] = _struct("Position", fields, ordered)
        return made

    def answer(self, position: Position, slots: Sequence[Slot]) -> type[msgspec.Struct]:
        """The class of what one request adds to the objects at a position: those of its slots that it fills."""
        return _struct("Answer", [self._field(position, slot, required=True) for slot in slots], slots)

    def data(self, members: Sequence[tuple[str, Any]]) -> type[msgspec.Struct]:
        """The class of `data`, by response key."""
        fields: list[Any] = [(f"d{index}", kind) for index, (_, kind) in enumerate(members)]
        names = {f"d{index}": key for index, (key, _) in enumerate(members)}
        return msgspec.defstruct("Data", fields, rename=names, kw_only=True, gc=False)

    def _field(self, position: Position, slot: Slot, *, required: bool) -> tuple[Any, ...]:
        if slot.key == TYPENAME:
            if not position.abstract:
                (name,) = position.types
                return slot.attribute, Literal[name], name
            # One of the possible types; an inaccessible one is the plain executor's to hide.
            kind: Any = Literal[tuple(sorted(position.types))]
            return slot.attribute, kind
        kind = self.value(slot)
        if required:
            return slot.attribute, kind
        return slot.attribute, kind | msgspec.UnsetType, msgspec.UNSET

    def value(self, slot: Slot) -> Any:
        """The Python type of a slot's value."""
        if slot.type is None:
            return _LEAF if slot.exact else Any
        return self._type(slot.type, slot)

    def _type(self, type_: GraphQLOutputType, slot: Slot) -> Any:
        if is_non_null_type(type_):
            return self._nullable(type_.of_type, slot)
        kind = self._nullable(type_, slot)
        return kind if kind is Any else kind | None

    def _nullable(self, type_: GraphQLOutputType, slot: Slot) -> Any:
        if is_list_type(type_):
            return list[self._type(type_.of_type, slot)]  # type: ignore[misc]  # made at run time
        if isinstance(type_, GraphQLEnumType):
            return Literal[tuple(type_.values)]
        if isinstance(type_, GraphQLScalarType):
            return _SCALARS[type_.name] if is_specified_scalar_type(type_) else Any
        if slot.below is None:
            raise TypeError(f"{slot.key} has nothing below")
        return self.of(slot.below)


def representation(asked: Asked, inputs: Sequence[InputField]) -> type[msgspec.Struct]:
    """The class of representations: `__typename` first, then the inputs in order."""
    fields: list[Any] = [(f"i{index}", Any) for index in range(len(inputs))]
    names = {f"i{index}": each.name for index, each in enumerate(inputs)}
    return msgspec.defstruct(
        "Representation", fields, rename=names, tag_field=TYPENAME, tag=asked.entities.type_name, gc=False
    )


def _struct(name: str, fields: list[Any], slots: Sequence[Slot]) -> type[msgspec.Struct]:
    names = {slot.attribute: slot.key for slot in slots}
    return msgspec.defstruct(name, fields, rename=names, kw_only=True, gc=False)
