"""An entity of this process that another subgraph extends, with a subscription."""

from collections.abc import AsyncGenerator

import strawberry
import strawberry.federation


@strawberry.federation.type(keys=["id"])
class Note:
    id: strawberry.ID
    text: str


@strawberry.type
class Query:
    @strawberry.field
    def note(self) -> Note:
        return Note(id=strawberry.ID("1"), text="hello")


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def note_added(self) -> AsyncGenerator[Note, None]:
        for number in (1, 2):
            yield Note(id=strawberry.ID(str(number)), text=f"note {number}")
