"""Subscription fields that do what a test needs, and note what becomes of them."""

import asyncio
from collections.abc import AsyncGenerator

import strawberry
from graphql import GraphQLError

from schema.context import GatewayContext
from schema.customers import Customer, customers_by_id
from tests.testkit.waiting import Signal

CANARY = "canary-7f3a"


class Notes:
    """How many generators run, and what they saw."""

    def __init__(self) -> None:
        self.running = 0
        self.produced = 0
        self.contexts: list[GatewayContext] = []
        self.changed = Signal()
        self.go_on = asyncio.Event()

    async def none_running(self) -> None:
        """Return once every generator has been closed."""
        await self.changed.until(lambda: self.running == 0, lambda: f"{self.running} generators to end")

    async def some_running(self, count: int) -> None:
        """Return once so many have begun."""
        await self.changed.until(lambda: self.running == count, lambda: f"{count} generators; there are {self.running}")

    async def have_produced(self, events: int) -> None:
        """Return once the latest generator has produced so many events."""
        await self.changed.until(lambda: self.produced == events, lambda: f"{events} events")

    def __enter__(self) -> None:
        self.running += 1
        self.changed.notify()

    def __exit__(self, *_: object) -> None:
        self.running -= 1
        self.changed.notify()


notes = Notes()


@strawberry.type
class Tick:
    number: int
    customer_id: strawberry.Private[str]
    customer: Customer | None = customers_by_id.field(by="customer_id")

    @strawberry.field
    def deadline(self, info: strawberry.Info) -> float | None:
        context: GatewayContext = info.context
        notes.contexts.append(context)
        return context.caller.deadline

    @strawberry.field
    async def hangs(self) -> int:
        await asyncio.Event().wait()
        raise AssertionError

    @strawberry.field
    def fails(self) -> int:
        if self.number == 1:
            raise ValueError(CANARY)
        return self.number

    @strawberry.field
    def credential(self, info: strawberry.Info) -> str | None:
        context: GatewayContext = info.context
        return context.caller.authorization


def _tick(number: int) -> Tick:
    return Tick(number=number, customer_id=str(number))


@strawberry.type
class Mutation:
    @strawberry.mutation
    def touch(self) -> int:
        return 1


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[Tick, None]:
        with notes:
            notes.produced = 0
            for number in range(1, to + 1):
                notes.produced += 1
                notes.changed.notify()
                yield _tick(number)

    @strawberry.subscription
    async def once_and_wait(self) -> AsyncGenerator[Tick, None]:
        with notes:
            yield _tick(1)
            await asyncio.Event().wait()

    @strawberry.subscription
    async def fails_after(self, events: int) -> AsyncGenerator[Tick, None]:
        with notes:
            for number in range(1, events + 1):
                yield _tick(number)
            raise ValueError(CANARY)

    @strawberry.subscription
    def refused(self) -> AsyncGenerator[Tick, None]:
        raise GraphQLError("not today", extensions={"code": "FORBIDDEN", "category": "authorization"})

    @strawberry.subscription
    async def never_opens(self) -> AsyncGenerator[Tick, None]:
        await asyncio.Event().wait()
        raise AssertionError

    @strawberry.subscription
    async def large(self) -> AsyncGenerator[str, None]:
        with notes:
            while True:
                notes.produced += 1
                yield "x" * 100_000

    @strawberry.subscription
    async def signalled(self) -> AsyncGenerator[Tick, None]:
        with notes:
            await notes.go_on.wait()
            yield _tick(1)
