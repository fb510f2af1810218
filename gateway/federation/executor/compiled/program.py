"""The program of one operation: what each request sends, what its answer is decoded into, and where that goes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from graphql import GraphQLSchema

from clients.subgraph import Shape
from gateway.federation.executor.compiled import code
from gateway.federation.executor.compiled.layout import Aim, Asked, Layout, NotCompiled, Position, Slot, lay_out
from gateway.federation.executor.compiled.structs import Structs, representation
from gateway.federation.planner.plan import Plan, Request
from gateway.federation.supergraph.model import Model

Collect = Callable[[Any, dict[Any, int], list[Any], list[int], list[Any]], bool]
Absorb = Callable[[list[int], list[Any], list[Any]], None]
Check = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class AimStep:
    """One target: finds its objects, and gives them what was found.

    Attributes:
        decode: of the list of entities, where each target decodes its own; None where they come decoded.
    """

    collect: Collect
    absorb: Absorb
    decode: Callable[[msgspec.Raw], list[Any]] | None


@dataclass(frozen=True, slots=True)
class EntityStep:
    """One `_entities` field of a request."""

    variable: str
    attribute: str
    aims: tuple[AimStep, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One request.

    Attributes:
        path: of the answer, without types and lists.
        entities: nothing for root fields; `slots` has their response keys and variables.
        root: attributes of the root object, and those of `data` that go there.
        shape: the classes of the answer.
        checks: of objects of several types that came with the answer.
        after: numbers of the steps that wait for this one, `waits` of how many this one waits for.
    """

    request: Request
    path: tuple[str, ...]
    entities: tuple[EntityStep, ...]
    slots: tuple[tuple[str, str], ...]
    root: tuple[tuple[str, str], ...]
    shape: Shape
    checks: tuple[Check, ...]
    after: tuple[int, ...]
    waits: int


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled operation; `groups` run one after the other."""

    root: type[msgspec.Struct]
    groups: tuple[tuple[Step, ...], ...]
    hide: Callable[[Any], None] | None
    layout: Layout = field(repr=False)


def compile_plan(model: Model, schema: GraphQLSchema, plan: Plan, conditions: Mapping[str, Any]) -> Program:
    """The program of a plan, for these values of the variables in its `@skip` and `@include`.

    Raises:
        NotCompiled: the plain executor has to run it; the message says why.
    """
    layout = lay_out(model, schema, plan, conditions)
    return _Compiler(layout).program()


class _Compiler:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._structs = Structs(layout)
        self._places = list(_places(layout.root, ()))

    def program(self) -> Program:
        return Program(
            root=self._structs.of(self._layout.root),
            groups=tuple(self._group(requests) for requests in self._layout.requests if requests),
            hide=code.hider(self._layout.root, self._places),
            layout=self._layout,
        )

    def _group(self, requests: Sequence[Request]) -> tuple[Step, ...]:
        numbers = {request.id: number for number, request in enumerate(requests)}
        after: list[list[int]] = [[] for _ in requests]
        for number, request in enumerate(requests):
            for needed in request.needs & numbers.keys():
                after[numbers[needed]].append(number)
        return tuple(
            self._step(request, tuple(after[number]), len(request.needs & numbers.keys()))
            for number, request in enumerate(requests)
        )

    def _step(self, request: Request, after: tuple[int, ...], waits: int) -> Step:
        made = (code.checker(self._layout.root, at, path, request.id) for at, path in self._created_by(request.id))
        checks = tuple(check for check in made if check is not None)
        places = request.entities[0].targets[0].path if request.entities else request.path
        path = tuple(segment for segment in places if isinstance(segment, str))
        asked = self._layout.asked.get(request.id)
        if asked is None:
            root = self._layout.root
            slots = [slot for slot in root.slots.values() if request.id in slot.fillers]
            data = self._structs.data([(slot.key, self._structs.value(slot)) for slot in slots])
            moves = tuple((slot.attribute, f"d{index}") for index, slot in enumerate(slots))
            return Step(request, path, (), (), moves, Shape(data), checks, after, waits)
        members = []
        steps = []
        for index, each in enumerate(asked):
            kind, step = self._entities(request, each, f"d{index}")
            members.append((each.entities.response_key, kind))
            steps.append(step)
        sent = tuple((each.response_key, each.variable) for each in request.entities)
        return Step(request, path, tuple(steps), sent, (), Shape(self._structs.data(members)), checks, after, waits)

    def _entities(self, request: Request, asked: Asked, attribute: str) -> tuple[Any, EntityStep]:
        inputs = {tuple(each.name for each in aim.target.inputs) for aim in asked.aims}
        if len(inputs) != 1:
            raise NotCompiled(f"request {request.id} sends different representations for different places")
        made = representation(asked, asked.aims[0].target.inputs)
        filled = [self._filled(request, aim) for aim in asked.aims]
        alike = all(_alike(filled[0], other) for other in filled[1:])
        kind = self._structs.answer(asked.aims[0].position, filled[0])
        aims = []
        for aim, slots in zip(asked.aims, filled, strict=True):
            decode = None
            names = filled[0] if alike else slots
            if not alike:
                decode = msgspec.json.Decoder(list[self._structs.answer(aim.position, slots)]).decode  # type: ignore[misc]
            pairs = [
                (slot.attribute, name.attribute, len(slot.fillers) > 1) for slot, name in zip(slots, names, strict=True)
            ]
            collect = code.collector(self._layout.root, aim.target.path, aim.target.inputs, aim.target.key, made)
            aims.append(AimStep(collect, code.absorber(pairs), decode))
        return (list[kind] if alike else msgspec.Raw), EntityStep(asked.entities.variable, attribute, tuple(aims))  # type: ignore[valid-type]

    def _filled(self, request: Request, aim: Aim) -> list[Slot]:
        """What a request adds to the objects of a target, by key."""
        slots = [slot for slot in aim.position.slots.values() if request.id in slot.fillers]
        return sorted(slots, key=lambda slot: slot.key)

    def _created_by(self, request: int) -> list[tuple[Position, tuple[str, ...]]]:
        return [(position, path) for position, path in self._places if position.creator == request]


def _places(position: Position, path: tuple[str, ...]) -> Iterable[tuple[Position, tuple[str, ...]]]:
    yield position, path
    for slot in position.slots.values():
        if slot.below is not None:
            yield from _places(slot.below, (*path, slot.key))


def _alike(some: Sequence[Slot], others: Sequence[Slot]) -> bool:
    """Whether both are filled by the same leaves, so that one decoded list serves for both."""
    return [(s.key, str(s.type), s.exact) for s in some] == [(s.key, str(s.type), s.exact) for s in others] and not any(
        slot.below is not None for slot in (*some, *others)
    )
