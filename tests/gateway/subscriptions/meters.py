"""A schema whose subscriptions are guarded, and which asks a service for each event."""

from collections.abc import AsyncGenerator

import strawberry

from schema.access import authenticated, requires
from schema.customers import Customer, customers_by_id
from tests.gateway.subscriptions.ticks import notes


@strawberry.type
class Reading:
    number: int
    customer_id: strawberry.Private[str]
    customer: Customer | None = customers_by_id.field(by="customer_id")

    @strawberry.field(directives=[requires("meters:read")])  # type: ignore[untyped-decorator]
    def value(self) -> float | None:
        return self.number / 2

    @strawberry.field(directives=[authenticated()])  # type: ignore[untyped-decorator]
    def owner(self) -> str:
        return "Ada"


@strawberry.type
class Query:
    meter: str = "electricity"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def readings(self, to: int = 2) -> AsyncGenerator[Reading, None]:
        with notes:
            for number in range(1, to + 1):
                yield Reading(number=number, customer_id=str(number))
            await notes.go_on.wait()

    @strawberry.subscription(directives=[requires("meters:secret")])  # type: ignore[untyped-decorator]
    async def secret_readings(self) -> AsyncGenerator[Reading, None]:
        with notes:
            yield Reading(number=1, customer_id="1")
