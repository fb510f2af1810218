"""Shared executions of queries, in every order of arrivals, endings, hang-ups and deadlines."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.flights import QueryFlights, QueryKeys
from gateway.http import Answer
from tests.testkit.clock import ManualClock

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 1), st.sampled_from([5, 5, 5, 3, 9])),
        st.tuples(st.just("ask"), st.integers(0, 1), st.just(5)),
        st.tuples(st.just("hang up"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("fail"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("advance"), st.integers(1, 3), st.just(0)),
        st.tuples(st.just("settle"), st.just(0), st.just(0)),
    ),
    max_size=50,
)


@dataclass
class Request:
    """One client."""

    key: int
    deadline: float
    executions: int = 0
    task: "asyncio.Task[Answer] | None" = None


@dataclass
class World:
    """Clients and what is executed for them; an execution ends at its own request's deadline at the latest."""

    clock: ManualClock = field(default_factory=ManualClock)
    requests: list[Request] = field(default_factory=list)
    running: dict["asyncio.Future[Answer]", Request] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.flights = QueryFlights(QueryKeys((), code=True), self.clock)

    def executing(self, request: Request) -> Callable[[], Awaitable[Answer]]:
        async def run() -> Answer:
            request.executions += 1
            assert request.executions == 1, "executed twice for one request"
            end: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self.running[end] = request
            try:
                async with self.clock.timeout(request.deadline - self.clock.now()):
                    return await end
            except TimeoutError:
                return Answer(data=request.key, errors=[{"message": "late"}])
            finally:
                del self.running[end]

        return run

    def ask(self, key: int, patience_s: float) -> None:
        request = Request(key, self.clock.now() + patience_s)
        request.task = asyncio.create_task(self.flights.share(key, request.deadline, self.executing(request)))
        self.requests.append(request)

    def open_requests(self) -> list[tuple[Request, "asyncio.Task[Answer]"]]:
        return [(r, r.task) for r in self.requests if r.task is not None and not r.task.done()]

    async def settled(self) -> None:
        await self.clock.settle()
        waiting = {request.key for request, _ in self.open_requests()}
        executed = {request.key for request in self.running.values()}
        assert executed == waiting, "executed for nobody, or somebody waits for nothing"
        for request, _ in self.open_requests():
            assert self.clock.now() <= request.deadline, "somebody waits beyond the own deadline"

    async def step(self, name: str, number: int, patience_s: float) -> None:
        match name:
            case "ask":
                self.ask(number, patience_s)
            case "hang up":
                for _, task in self.open_requests()[number : number + 1]:
                    task.cancel()
            case "end" | "fail":
                for end, request in list(self.running.items())[number : number + 1]:
                    if not end.done() and name == "end":
                        end.set_result(Answer(data=request.key))
                    elif not end.done():
                        end.set_exception(OSError("scripted"))
            case "advance":
                await self.settled()
                await self.clock.advance(number)
                await self.settled()
            case "settle":
                await self.settled()

    async def check(self, operations: list[tuple[str, int, int]]) -> None:
        async with self.flights:
            for operation in operations:
                await self.step(*operation)
            await self.clock.advance(20)
            await self.settled()
            assert not self.running
            for request in self.requests:
                assert request.task is not None
                if request.task.cancelled() or request.task.exception() is not None:
                    continue
                answer = request.task.result()
                assert answer.data == request.key, "the answer of another query"
                assert not answer.errors or self.was_late(request), "cut short by somebody else's deadline"
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def was_late(self, request: Request) -> bool:
        """Whether it had its own execution to the end, or an execution's deadline was its own."""
        return request.executions == 1 or any(
            other.executions and other.deadline == request.deadline for other in self.requests
        )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(OPERATIONS)
def test_one_execution_for_those_who_wait_and_none_when_nobody_does(operations: list[tuple[str, int, int]]) -> None:
    async def check() -> None:
        await World().check(operations)

    asyncio.run(check())
