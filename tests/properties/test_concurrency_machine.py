"""Places of the concurrency limit, in every order of arrivals, endings, cancellations and timeouts."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from clients.call import Answer, Call, Served, ServedBy
from clients.errors import ConcurrencyLimitReached, DeadlineExceeded
from clients.stages.concurrency import Concurrency
from tests.clients.support import CALLER, ONE
from tests.testkit.clock import ManualClock

ANSWER = Answer(None, Served(ServedBy.GRAPHQL))
CALL = Call(ONE, {"id": "1"}, CALLER)

OPERATIONS = st.lists(
    st.one_of(
        st.just(("arrive", 0)),
        st.just(("arrive", 0)),
        st.tuples(st.just("end"), st.integers(0, 5)),
        st.tuples(st.just("fail"), st.integers(0, 5)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("advance"), st.sampled_from([1, 3])),
        st.just(("settle", 0)),
    ),
    max_size=60,
)


@dataclass
class World:
    """Callers, and those of them who are inside."""

    limit: int
    queue: int
    clock: ManualClock = field(default_factory=ManualClock)
    inside: dict[int, "asyncio.Future[Answer]"] = field(default_factory=dict)
    entered: list[int] = field(default_factory=list)
    tasks: list["asyncio.Task[Answer]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stage = Concurrency("crm", limit=self.limit, queue=self.queue, wait_s=3, clock=self.clock)

    def arrive(self) -> None:
        number = len(self.tasks)

        async def inner(_: Call) -> Answer:
            assert len(self.inside) < self.limit, "a place was given twice"
            assert not self.entered or self.entered[-1] < number, "somebody jumped the queue"
            self.entered.append(number)
            self.inside[number] = asyncio.get_running_loop().create_future()
            try:
                return await self.inside[number]
            finally:
                del self.inside[number]

        self.tasks.append(asyncio.create_task(self.stage(CALL, inner)))

    def end(self, which: int, error: Exception | None) -> None:
        for future in list(self.inside.values())[which : which + 1]:
            if not future.done() and error is not None:
                future.set_exception(error)
            elif not future.done():
                future.set_result(ANSWER)

    async def run(self, operations: list[tuple[str, int]]) -> None:
        for name, number in operations:
            match name:
                case "arrive":
                    self.arrive()
                case "end":
                    self.end(number, None)
                case "fail":
                    self.end(number, OSError("scripted"))
                case "cancel":
                    for task in [t for t in self.tasks if not t.done()][number : number + 1]:
                        task.cancel()
                case "advance":
                    self.clock.jump(number)  # without a turn: timeouts meet places in the same one
                case "settle":
                    await self.settled()
            assert self.stage.status().queued <= self.queue
        while self.inside or not all(task.done() for task in self.tasks):
            await self.settled()
            self.end(0, None)
            await self.clock.advance(1)

    async def settled(self) -> None:
        await self.clock.settle()
        status = self.stage.status()
        assert status.in_flight == len(self.inside), "a place was lost"
        assert status.queued == 0 or status.in_flight >= status.limit, "somebody waits in front of a free place"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(limit=st.integers(1, 3), queue=st.integers(0, 4), operations=OPERATIONS)
def test_no_place_is_lost_or_given_twice_and_the_queue_is_served_in_order(
    limit: int, queue: int, operations: list[tuple[str, int]]
) -> None:
    async def check() -> None:
        world = World(limit, queue)
        await world.run(operations)
        await world.settled()
        assert (world.stage.status().in_flight, world.stage.status().queued) == (0, 0)
        outcomes = await asyncio.gather(*world.tasks, return_exceptions=True)
        refused = sum(isinstance(o, ConcurrencyLimitReached) for o in outcomes)
        assert world.stage.status().refused == refused
        assert not any(isinstance(o, DeadlineExceeded | AssertionError) for o in outcomes), outcomes

    asyncio.run(check())
