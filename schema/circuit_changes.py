"""Changes of circuits as they happen: the subscription beside `upstreams`, which shows how they are."""

from collections.abc import AsyncGenerator, Collection

import strawberry
from graphql import GraphQLError

from clients.call import ProtocolName
from clients.state.circuit import Mode, State
from schema.access import require_operator
from schema.context import CircuitNews, GatewayContext, GatewayState
from schema.upstreams import CircuitTransition


@strawberry.type(description="A circuit of an upstream has changed its state, or who decides about it.")
class CircuitChange(CircuitTransition):
    """A transition, and whose it is."""

    service: str = strawberry.field(description="The upstream.")
    protocol: ProtocolName = strawberry.field(description="The protocol that the circuit guards.")
    operation: str | None = strawberry.field(
        description="The operation it guards, where each has a circuit of its own; null when it is for all of them."
    )
    mode: Mode = strawberry.field(description="AUTOMATIC, unless an operator decides.")
    missed: int = strawberry.field(
        description="Changes right before this one that are not told, because this subscription did not keep up."
    )


@strawberry.type
class Subscription:
    """The changes of circuits."""

    @strawberry.subscription(
        description="Every change of every circuit of this instance from now on; with `services`, of those only. For "
        "operators."
    )
    def circuit_changes(
        self, info: strawberry.Info, services: list[str] | None = None
    ) -> AsyncGenerator[CircuitChange, None]:
        """As they happen."""
        context: GatewayContext = info.context
        require_operator(context)
        unknown = [name for name in services or () if name not in context.state.upstreams]
        if unknown:
            known = ", ".join(context.state.upstreams) or "none"
            raise GraphQLError(
                f"services: there is no {', '.join(unknown)}; there are: {known}.",
                extensions={"code": "BAD_USER_INPUT", "category": "validation"},
            )
        return _changes(context.state, services)


async def _changes(state: GatewayState, services: Collection[str] | None) -> AsyncGenerator[CircuitChange, None]:
    missed = 0
    with state.circuit_changes() as changes:
        async for news in changes:
            missed += news.missed
            if services is None or news.event.service in services:
                yield _change(news, missed)
                missed = 0


def _change(news: CircuitNews, missed: int) -> CircuitChange:
    event = news.event
    return CircuitChange(
        service=event.service,
        protocol=event.protocol,
        operation=event.operation,
        previous=State(event.previous),
        state=State(event.state),
        mode=Mode(event.mode),
        reason=event.reason,
        at=news.at,
        missed=missed,
    )
