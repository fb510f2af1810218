"""A program for people to read: the objects of the response, and which request fills what."""

from collections.abc import Iterator

from gateway.federation.executor.compiled.positions import Position, Slot
from gateway.federation.executor.compiled.program import Program


def describe(program: Program) -> str:
    """One paragraph a position: its fields in the order of the response, with their types and requests."""
    return "\n".join(line for position in program.layout.root.positions() for line in _position(position))


def _position(position: Position) -> Iterator[str]:
    types = "|".join(sorted(position.types))
    yield f"{position.path or 'the root'} ({types})"
    for slot in position.ordered():
        yield f"  {slot.response}{_type(slot)}{_of_types(slot, position)}{_from(slot)}"


def _type(slot: Slot) -> str:
    return "" if slot.type is None else f": {slot.type}"


def _of_types(slot: Slot, position: Position) -> str:
    if not slot.visible:
        return ", for requests only"
    return "" if slot.visible >= position.types else f", of {'|'.join(sorted(slot.visible))}"


def _from(slot: Slot) -> str:
    return (
        f", from {' and '.join(map(str, sorted({request for request, _ in slot.fillers})))}"
        if slot.fillers
        else ", known without asking"
    )
