"""The positions of one operation: the objects of the response, their values, and which request gives what."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from graphql import GraphQLOutputType

from gateway.federation.planner.plan import Entities, Request, Target

TYPENAME = "__typename"

Source: TypeAlias = tuple[int, int]
"""A part of an answer: the request's number in the plan, and which of its `_entities` fields."""

ROOT: Source = (0, 0)
"""The root object is ours."""

Fillers: TypeAlias = dict[Source, frozenset[str]]
"""By source, the object types for which it fills a value."""


@dataclass(slots=True, eq=False)
class Slot:
    """One value of the objects at a position.

    Attributes:
        key: where plan and answers have it.
        response: its key in the response.
        attribute: of the position's class.
        visible: object types for which the client asked for it; empty for what only requests need.
        type: in the API schema; None where the client may not see it.
        exact: values that are equal in Python are equal in JSON, so it can stand in a dictionary's key.
        typename: it is another name for `__typename`.
        below: for objects.
        fillers: sources that give it.
        elsewhere: of those, the types for which they give it under a key that `Position.aliases` has.
        sure: of the types, those whose objects all get it, by the plan alone.
        uncertain: it has to be looked at in the end whether all objects it is seen of have it.
    """

    key: str
    response: str
    attribute: str
    visible: frozenset[str]
    type: GraphQLOutputType | None
    exact: bool
    typename: bool = False
    below: "Position | None" = None
    fillers: Fillers = field(default_factory=dict)
    elsewhere: Fillers = field(default_factory=dict)
    sure: frozenset[str] = frozenset()
    uncertain: bool = False

    def given(self, source: Source, types: frozenset[str]) -> bool:
        """Whether a source gives it under its own key for all these types."""
        return self.fillers.get(source, frozenset()) - self.elsewhere.get(source, frozenset()) >= types

    def filled(self) -> frozenset[str]:
        """The types for which some source gives it."""
        return frozenset().union(*self.fillers.values())

    def contested(self, source: Source) -> bool:
        """Whether an object may get it from another source too."""
        types = self.fillers[source]
        return any(types & other for by, other in self.fillers.items() if by != source)


@dataclass(frozen=True, slots=True)
class Alias:
    """What one source gives under another key; `attribute` is of that source's classes only."""

    key: str
    attribute: str
    slot: Slot

    def given(self, source: Source, types: frozenset[str]) -> bool:
        """Whether the source gives it so for all these types."""
        return self.slot.elsewhere[source] >= types


@dataclass(slots=True, eq=False)
class Position:
    """All objects at one response path.

    Attributes:
        path: for messages.
        types: the object types they can have.
        abstract: their runtime type has to be looked at.
        union: what they have in common is nothing.
        slots: in the order of the response; what is hidden comes last.
        creators: the sources that the objects come with. With several, the first to arrive brings the object, and the
            others add to it.
        aliases: by source, what comes under other keys.
        shared: equal objects become one before requests are made about them.
    """

    path: str
    types: frozenset[str]
    abstract: bool = False
    union: bool = False
    slots: dict[str, Slot] = field(default_factory=dict)
    creators: set[Source] = field(default_factory=set)
    aliases: dict[Source, list[Alias]] = field(default_factory=dict)
    shared: bool = False

    def add(
        self,
        key: str,
        visible: frozenset[str],
        type_: GraphQLOutputType | None,
        *,
        exact: bool,
        response: str | None = None,
    ) -> Slot:
        """A new slot at the end."""
        prefix = "f" if visible else "h"
        attribute = f"{prefix}{len(self.slots)}"
        slot = self.slots[key] = Slot(key, response or key, attribute, visible, type_, exact)
        return slot

    def alias(self, source: Source, key: str, slot: Slot, types: frozenset[str]) -> None:
        """Note that a source gives a slot's value under another key."""
        known = self.aliases.setdefault(source, [])
        if all(each.key != key for each in known):
            known.append(Alias(key, f"a{len(known)}", slot))
        slot.elsewhere[source] = slot.elsewhere.get(source, frozenset()) | types

    def given(self, slot: Slot, source: Source) -> bool:
        """Whether a source gives a slot's value under one key, whatever the object's type."""
        elsewhere = slot.elsewhere.get(source, frozenset())
        return slot.fillers.get(source, frozenset()) >= self.types and (not elsewhere or elsewhere >= self.types)

    def certain(self, slot: Slot) -> bool:
        """Whether objects have the value as soon as they are there."""
        return all(slot.fillers.get(creator, frozenset()) >= self.types for creator in self.creators)

    def ordered(self) -> list[Slot]:
        """The slots, hidden ones last."""
        slots = list(self.slots.values())
        return [s for s in slots if s.visible] + [s for s in slots if not s.visible]

    def positions(self) -> Iterator["Position"]:
        """This one and those below."""
        yield self
        for slot in self.slots.values():
            if slot.below is not None:
                yield from slot.below.positions()


@dataclass(frozen=True, slots=True)
class Aim:
    """Objects that a request is about.

    Attributes:
        types: what the end of the path narrows the position's to.
        certain: the path leads to all objects of these types at the position.
    """

    target: Target
    position: Position
    types: frozenset[str]
    certain: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """One `_entities` field of a request, as far as it is wanted; no aims where it is not."""

    entities: Entities
    source: Source
    aims: tuple[Aim, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The positions of an operation, and the requests that are made at all.

    Attributes:
        requests: in groups, as in the plan.
        needs: by request, those of its group that must have been answered before.
        asked: by request, its `_entities` fields; nothing for requests of root fields.
        entered: by request of root fields, the position they belong to.
    """

    root: Position
    requests: tuple[tuple[Request, ...], ...]
    needs: Mapping[int, frozenset[int]]
    asked: Mapping[int, tuple[Asked, ...]]
    entered: Mapping[int, Position]


def places(
    position: Position, path: tuple[str, ...] = (), *, hidden: bool = True
) -> Iterable[tuple[Position, tuple[str, ...]]]:
    """This position and those below, outermost first, each with the keys that lead there.

    Args:
        position: where to begin.
        path: to it.
        hidden: with those that the client sees nothing of.
    """
    yield position, path
    for slot in position.slots.values():
        if slot.below is not None and (hidden or slot.visible):
            yield from places(slot.below, (*path, slot.key), hidden=hidden)
