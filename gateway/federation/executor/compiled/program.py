"""The program of one operation: what each request sends, what its answer is decoded into, and where that goes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from graphql import GraphQLSchema

from clients.loops import RunningLoop
from clients.subgraph import Shape
from gateway.federation.executor.compiled import code
from gateway.federation.executor.compiled.layout import NotCompiled, lay_out
from gateway.federation.executor.compiled.positions import ROOT, Aim, Asked, Layout, Position, Slot, Source, places
from gateway.federation.executor.compiled.structs import Structs, data, filled_by, representation
from gateway.federation.planner.plan import Plan, Request
from gateway.federation.supergraph.model import Model

Collect = Callable[[Any, dict[Position, list[Any]], dict[Any, int], list[Any], list[int], list[Any]], bool]
Absorb = Callable[[Sequence[int], Sequence[Any], Sequence[Any]], None]
Rename = Callable[[Sequence[Any]], None]


@dataclass(frozen=True, slots=True)
class AimStep:
    """One target: finds its objects, and gives them what was found.

    Attributes:
        decode: of the list of entities, where each target decodes its own; None where they come decoded.
        rename: of what was found, where some of it came under other keys.
    """

    collect: Collect
    absorb: Absorb
    decode: Callable[[msgspec.Raw], list[Any]] | None
    rename: Rename | None


@dataclass(frozen=True, slots=True)
class EntityStep:
    """One `_entities` field of a request."""

    variable: str
    attribute: str
    aims: tuple[AimStep, ...]


@dataclass(frozen=True, slots=True)
class RootStep:
    """Root fields: the objects they belong to, and what is done with `data`.

    Attributes:
        find: the objects; None for the root alone.
    """

    find: Callable[[Any], list[Any]] | None
    absorb: Absorb
    rename: Rename | None


@dataclass(frozen=True, slots=True)
class Step:
    """One request.

    Attributes:
        path: of the answer, without types and lists.
        entities: nothing for root fields; `slots` has their response keys and variables.
        root: for root fields.
        shape: the classes of the answer.
        after: numbers of the steps that wait for this one, `waits` of how many this one waits for.
    """

    request: Request
    path: tuple[str, ...]
    entities: tuple[EntityStep, ...]
    slots: tuple[tuple[str, str], ...]
    root: RootStep | None
    shape: Shape
    after: tuple[int, ...]
    waits: int


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled operation; `groups` run one after the other.

    Attributes:
        finish: makes the response of the objects; False where something is missing.
        loop: that it runs on.
    """

    root: type[msgspec.Struct]
    groups: tuple[tuple[Step, ...], ...]
    finish: Callable[[Any], bool] | None
    layout: Layout = field(repr=False)
    loop: RunningLoop = field(default_factory=RunningLoop, repr=False, compare=False)


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
        self._structs = Structs()
        self._shares = {
            position: code.sharer(layout.root, position, path)
            for position, path in places(layout.root)
            if position.shared and _worth_sharing(layout.root, path)
        }

    def program(self) -> Program:
        return Program(
            root=self._structs.of(self._layout.root, ROOT),
            groups=tuple(self._group(requests) for requests in self._layout.requests if requests),
            finish=code.finisher(self._layout.root),
            layout=self._layout,
        )

    def _group(self, requests: Sequence[Request]) -> tuple[Step, ...]:
        numbers = {request.id: number for number, request in enumerate(requests)}
        needs = [self._layout.needs[request.id] & numbers.keys() for request in requests]
        after: list[list[int]] = [[] for _ in requests]
        for number, needed in enumerate(needs):
            for each in needed:
                after[numbers[each]].append(number)
        return tuple(
            self._step(request, tuple(after[number]), len(needs[number])) for number, request in enumerate(requests)
        )

    def _step(self, request: Request, after: tuple[int, ...], waits: int) -> Step:
        place = request.entities[0].targets[0].path if request.entities else request.path
        path = tuple(segment for segment in place if isinstance(segment, str))
        asked = self._layout.asked.get(request.id)
        if asked is None:
            made, root = self._root(request, self._layout.entered[request.id])
            return Step(request, path, (), (), root, Shape(made), after, waits)
        members = []
        steps = []
        for index, each in enumerate(asked):
            kind, step = self._entities(request, each, f"d{index}")
            members.append((each.entities.response_key, kind))
            steps.append(step)
        sent = tuple((each.response_key, each.variable) for each in request.entities)
        return Step(request, path, tuple(steps), sent, None, Shape(data(members)), after, waits)

    def _root(self, request: Request, position: Position) -> tuple[type[msgspec.Struct], RootStep]:
        source = (request.id, 0)
        slots = filled_by(position, source)
        root = RootStep(
            find=code.finder(self._layout.root, request.path) if request.path else None,
            absorb=code.absorber(slots, [slot.attribute for slot in slots], source),
            rename=code.renamer(position, source),
        )
        return self._structs.answer(position, source, position.types), root

    def _entities(self, request: Request, asked: Asked, attribute: str) -> tuple[Any, EntityStep]:
        aims, source = asked.aims, asked.source
        if not aims:
            return Any, EntityStep(asked.entities.variable, attribute, ())
        names = list(dict.fromkeys(each.name for each in aims[0].target.inputs))
        if any({each.name for each in aim.target.inputs} != set(names) for aim in aims):
            raise NotCompiled(f"request {request.id} sends different representations for different places")
        for aim in aims:
            _check_inputs(request, aim)
        made = representation(asked.entities.type_name, names)
        exact = all(code.exact(aim) for aim in aims)
        filled = [filled_by(aim.position, source) for aim in aims]
        alike = len(aims) == 1 or all(
            _leaves(a, s, source) == _leaves(aims[0], filled[0], source) for a, s in zip(aims, filled, strict=True)
        )
        steps = []
        for aim, slots in zip(aims, filled, strict=True):
            decode = None
            if not alike:
                kind = self._structs.answer(aim.position, source, aim.types)
                decode = msgspec.json.Decoder(list[kind]).decode  # type: ignore[valid-type]  # made at run time
            steps.append(
                AimStep(
                    collect=code.collector(
                        self._layout.root, aim, names, made, exact=exact, share=self._shares.get(aim.position)
                    ),
                    absorb=code.absorber(slots, [slot.attribute for slot in (filled[0] if alike else slots)], source),
                    decode=decode,
                    rename=code.renamer(aim.position, source),
                )
            )
        entities = EntityStep(asked.entities.variable, attribute, tuple(steps))
        if not alike:
            return msgspec.Raw, entities
        return list[self._structs.answer(aims[0].position, source, aims[0].types)], entities  # type: ignore[misc]


def _worth_sharing(root: Position, path: Sequence[str]) -> bool:
    """Lists inside lists repeat their objects; one list seldom does."""
    through, last = code.lists(root, path)
    return through > 1 and last <= 1


def _leaves(aim: Aim, slots: Sequence[Slot], source: Source) -> Any:
    """What makes one decoded list serve for several targets: the same leaves; nothing is the same as objects."""
    if any(slot.below is not None for slot in slots) or source in aim.position.aliases:
        return aim
    return [(slot.key, str(slot.type), slot.exact, slot.fillers[source] >= aim.types) for slot in slots]


def _check_inputs(request: Request, aim: Aim) -> None:
    """Refuse objects that would have to be sent of several fields at once."""
    inputs = aim.target.inputs
    for index, each in enumerate(inputs):
        for other in inputs[:index]:
            apart = each.types is not None and other.types is not None and not each.types & other.types
            if each.name == other.name and each.fields is not None and not apart:
                raise NotCompiled(f"request {request.id} needs a field of {aim.position.path} from several places")
