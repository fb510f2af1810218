"""Running a program: answers straight into the objects of the response, until something is not as it should be.

The first error, null where none may be, or answer out of shape ends the program's part: the plain executor answers
then, and gets what was received already, so that nothing is sent twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.federation.executor.compiled.code import Rare
from gateway.federation.executor.compiled.positions import Position
from gateway.federation.executor.compiled.program import EntityStep, Program, RootStep, Step
from gateway.federation.executor.fetcher import (
    FetchTyped,
    Received,
    SubgraphFetcher,
    SubgraphRequest,
    SubgraphResponse,
)

_PATIENCE = 10  # turns of the event loop in which nothing more is asked; the plain executor takes three to go on


@dataclass(slots=True)
class _Sent:
    """A request that was made, for the plain executor to find; what came of it, as soon as it is known.

    Attributes:
        before: how many requests had been made when the answer came.
    """

    variables: Mapping[str, Any]
    outcome: "asyncio.Future[Received]"
    before: int = 0


@dataclass(slots=True)
class _Batch:
    """The representations of one `_entities` field, and per target the objects that each is for."""

    made: list[Any] = field(default_factory=list)
    places: list[tuple[list[int], list[Any]]] = field(default_factory=list)


async def run_program(
    program: Program,
    *,
    fetch: FetchTyped,
    fetcher: SubgraphFetcher,
    variables: Mapping[str, Any],
    context: object,
    plain: Callable[[SubgraphFetcher], Awaitable[dict[str, Any]]],
) -> dict[str, Any]:
    """Answer the operation: `data` is encodable by msgspec.

    When this is cancelled, so are the requests under way, and they have ended when it has.

    Args:
        program: of the operation, for these variables.
        fetch: sends the program's requests.
        fetcher: sends what the plain executor needs besides.
        variables: coerced.
        context: handed to the fetcher with every request.
        plain: answers by the plain executor, with another fetcher.
    """
    run = _Run(program, fetch=fetch, fetcher=fetcher, variables=variables, context=context)
    try:
        try:
            for group in program.groups:
                await run.group(group)
            if program.finish is not None and not program.finish(run.root):
                raise Rare
        except Rare:
            run.ended = True
            return await plain(run)
        return {"data": run.root}
    finally:
        await run.end()


class _Run:
    """One execution. Also the fetcher of the plain executor that takes it over."""

    def __init__(
        self,
        program: Program,
        *,
        fetch: FetchTyped,
        fetcher: SubgraphFetcher,
        variables: Mapping[str, Any],
        context: object,
    ) -> None:
        self.root = program.root()
        self.ended = False
        self.loop = program.loop
        self._fetch_typed = fetch
        self._fetcher = fetcher
        self._variables = variables
        self._context = context
        self._sent: dict[int, _Sent] = {}
        self._asked: set[int] = set()
        self._shared: dict[Position, list[Any]] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    async def group(self, steps: tuple[Step, ...]) -> None:
        """Run steps that wait for each other and for nothing outside."""
        if len(steps) == 1:
            await self.step(steps[0])
        else:
            await _Group(self, steps).all()

    async def end(self) -> None:
        """Cancel what is still under way, and wait for its end."""
        if self.tasks:
            tasks = list(self.tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        """See `SubgraphFetcher`: what was received already, or is on its way, else a request."""
        self._asked.add(request.id)
        sent = self._sent.get(request.id)
        if sent is None or not _same(sent.variables, request.variables):
            return await self._fetcher.fetch(request)
        await asyncio.wait((sent.outcome,))
        await self._in_turn(sent)
        return sent.outcome.result().response()

    async def _in_turn(self, sent: _Sent) -> None:
        """Wait until what was asked before an answer came is asked again, lest it is asked because of that answer."""
        before = tuple(self._sent)[: sent.before]
        asked, patience = 0, _PATIENCE
        while patience and not self._asked.issuperset(before):
            patience = patience - 1 if len(self._asked) == asked else _PATIENCE
            asked = len(self._asked)
            await asyncio.sleep(0)

    async def step(self, step: Step) -> None:
        if step.root is not None:
            await self._fields(step, step.root)
            return
        batches: list[_Batch] = []
        variables: dict[str, Any] = {}
        for entities in step.entities:
            batch = self._collected(entities)
            batches.append(batch)
            variables[entities.variable] = batch.made
        if not any(batch.made for batch in batches):
            return
        data = await self._send(step, variables)
        for entities, batch in zip(step.entities, batches, strict=True):
            self._absorb(entities, batch, getattr(data, entities.attribute))

    async def _fields(self, step: Step, root: RootStep) -> None:
        """Root fields, at the top or wherever the response has the query root."""
        objects = [self.root] if root.find is None else root.find(self.root)
        if not objects:
            return
        data = await self._send(step, {})
        if root.rename is not None:
            root.rename((data,))
        root.absorb([0] * len(objects), objects, (data,))

    def _collected(self, entities: EntityStep) -> _Batch:
        batch = _Batch()
        seen: dict[Any, int] = {}
        for aim in entities.aims:
            indices: list[int] = []
            objects: list[Any] = []
            if not aim.collect(self.root, self._shared, seen, batch.made, indices, objects):
                raise Rare
            batch.places.append((indices, objects))
        return batch

    @staticmethod
    def _absorb(entities: EntityStep, batch: _Batch, found: Any) -> None:
        for aim, (indices, objects) in zip(entities.aims, batch.places, strict=True):
            mine = found
            if aim.decode is not None:
                try:
                    mine = aim.decode(found)
                except msgspec.ValidationError:
                    raise Rare from None
            if len(mine) != len(batch.made):
                raise Rare
            if aim.rename is not None:
                aim.rename(mine)
            aim.absorb(indices, objects, mine)

    async def _send(self, step: Step, representations: dict[str, Any]) -> Any:
        plan = step.request
        for name in plan.variables:
            if name in self._variables:
                representations[name] = self._variables[name]
        outcome: asyncio.Future[Received] = self.loop.get().create_future()
        sent = self._sent[plan.id] = _Sent(representations, outcome)
        try:
            request = SubgraphRequest(
                subgraph=plan.subgraph,
                document=plan.document,
                operation_name=plan.operation_name,
                variables=representations,
                kind="mutation" if plan.mutation else "query",
                path=step.path,
                entities=step.slots,
                context=self._context,
                id=plan.id,
            )
            received = await self._fetch_typed(request, step.shape)
        except Exception as error:
            sent.before = len(self._sent)
            outcome.set_exception(error)
            outcome.exception()  # seen, whether or not the plain executor asks for it
            raise Rare from error
        except BaseException:
            outcome.cancel()
            raise
        sent.before = len(self._sent)
        outcome.set_result(received)
        if received.data is None:
            raise Rare
        return received.data


class _Group:
    """Steps under way. A step goes on with one that waited for it, in the same task; what runs beside needs another.

    Not closures: those would know each other, and the whole response would wait for the garbage collector.
    """

    __slots__ = ("_ended", "_left", "_run", "_steps", "_waits")

    def __init__(self, run: _Run, steps: tuple[Step, ...]) -> None:
        self._run = run
        self._steps = steps
        self._waits = [step.waits for step in steps]
        self._left = len(steps)
        self._ended: asyncio.Future[None] = run.loop.get().create_future()

    async def all(self) -> None:
        """Run them all; the first error ends the waiting."""
        first, *others = [step for step in self._steps if not step.waits]
        for step in others:
            self._start(step)
        await self._chain(first)
        await self._ended

    def _start(self, step: Step) -> None:
        task = self._run.loop.get().create_task(self._chain(step))
        self._run.tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._run.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._ended.done():
            self._ended.set_exception(error)
            self._ended.exception()  # seen: the first step may have ended the waiting before

    async def _chain(self, step: Step | None) -> None:
        while step is not None:
            await self._run.step(step)
            if self._run.ended:
                return
            self._left -= 1
            following = None
            for number in step.after:
                self._waits[number] -= 1
                if not self._waits[number]:
                    if following is None:
                        following = self._steps[number]
                    else:
                        self._start(self._steps[number])
            step = following
        if not self._left and not self._ended.done():
            self._ended.set_result(None)


def _same(sent: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    # As they are first: an uploaded file has no builtin form, and is the same one.
    return sent == wanted or bool(msgspec.to_builtins(dict(sent)) == wanted)
