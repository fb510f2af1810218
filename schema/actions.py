"""What operators may have the gateway do: circuits forced and reset, answers forgotten, the supergraph reloaded."""

from collections.abc import Awaitable
from typing import Annotated, TypeVar

import strawberry
from graphql import GraphQLError

from clients.call import ProtocolName
from clients.state.circuit import Mode, State
from schema.access import OperatorsOnly
from schema.context import GatewayContext
from schema.operations import Acted, CircuitBrief, CircuitTarget, Operations, Refused
from schema.scalars import Long
from schema.upstreams import Circuit, circuits_of

_Done = TypeVar("_Done")
_Service = Annotated[str, strawberry.argument(description="The upstream.")]
_Protocol = Annotated[
    ProtocolName | None, strawberry.argument(description="The protocol whose circuit is meant; all when null.")
]
_Operation = Annotated[
    str | None,
    strawberry.argument(
        description="The operation whose circuit is meant, where each has its own; all, those not yet called included, "
        "when null."
    ),
]
_Reason = Annotated[
    str | None,
    strawberry.argument(
        description="Why, for the log and for whoever looks at the circuit. Clients of a circuit that is forced open "
        "are told."
    ),
]


@strawberry.type(description="A circuit before it was acted upon.")
class CircuitBefore:
    """A circuit before it was acted upon."""

    protocol: ProtocolName = strawberry.field(description="The protocol it guards.")
    operation: str | None = strawberry.field(description="The operation it guards; null when it is for all of them.")
    state: State = strawberry.field(description="Its state.")
    mode: Mode = strawberry.field(description="Who decided about it.")


@strawberry.type(description="What was done to circuits of an upstream, by the process that answers.")
class CircuitAction:
    """What was done to circuits of an upstream."""

    instance: str = strawberry.field(description="The process that did it; see `fleet`.")
    told: bool = strawberry.field(
        description="Whether the other instances were told to do the same, which takes them a few seconds; not without "
        "Redis. Those that start later do not learn of it."
    )
    service: str = strawberry.field(description="The upstream.")
    before: list[CircuitBefore] = strawberry.field(description="The circuits that are meant, as they were.")
    circuits: list[Circuit] = strawberry.field(description="The same circuits, as they are now.")


@strawberry.type(description="What was forgotten of the kept answers of an upstream.")
class CachePurge:
    """What was forgotten."""

    instance: str = strawberry.field(description="The process that did it; see `fleet`.")
    told: bool = strawberry.field(
        description="Whether the other instances were told to forget what they have in memory, which takes them a few "
        "seconds; not without Redis."
    )
    memory_entries: int = strawberry.field(description="Answers (rows) that this process had in memory.")
    redis_entries: Long | None = strawberry.field(
        description="Answers (rows) in Redis; null without Redis, and when it did not answer to the end."
    )
    error: str | None = strawberry.field(description="What went wrong; null when nothing did.")


@strawberry.type(description="What came of looking for a newer supergraph, in the process that answers.")
class SupergraphReload:
    """What came of looking for a newer supergraph."""

    instance: str = strawberry.field(description="The process that did it; the others look by themselves.")
    changed: bool = strawberry.field(description="Whether a newer one is served now.")
    previous_hash: str = strawberry.field(description="Of the one that was served before.")
    hash: str = strawberry.field(description="Of the one that is served now.")
    error: str | None = strawberry.field(description="Why the newest one is not served; null when it is.")


@strawberry.type
class Mutation:
    """What operators may do."""

    @strawberry.mutation(
        description="Decide in place of a circuit, or give it back to itself (AUTOMATIC), until that is undone or the "
        "process ends. For operators.",
        extensions=[OperatorsOnly()],
    )
    async def force_circuit(
        self,
        info: strawberry.Info,
        *,
        service: _Service,
        mode: Annotated[Mode, strawberry.argument(description="Who is to decide, and how.")],
        protocol: _Protocol = None,
        operation: _Operation = None,
        reason: _Reason = None,
    ) -> CircuitAction | None:
        """Done in this process first."""
        context: GatewayContext = info.context
        target = CircuitTarget(service, protocol, operation, reason)
        done = _operations(context).force_circuit(context.caller, target, mode)
        return _circuit_action(context, target, await _unless_refused(done))

    @strawberry.mutation(
        description="Close a circuit, forget what it has counted, and let it decide by itself. For operators.",
        extensions=[OperatorsOnly()],
    )
    async def reset_circuit(
        self,
        info: strawberry.Info,
        *,
        service: _Service,
        protocol: _Protocol = None,
        operation: _Operation = None,
        reason: _Reason = None,
    ) -> CircuitAction | None:
        """Done in this process first."""
        context: GatewayContext = info.context
        target = CircuitTarget(service, protocol, operation, reason)
        done = _operations(context).reset_circuit(context.caller, target)
        return _circuit_action(context, target, await _unless_refused(done))

    @strawberry.mutation(
        description="Forget the kept answers of an upstream, in memory and in Redis. For operators.",
        extensions=[OperatorsOnly()],
    )
    async def purge_cache(
        self,
        info: strawberry.Info,
        *,
        service: _Service,
        key_prefix: Annotated[
            str,
            strawberry.argument(
                description="Only answers of operations whose names begin so, such as `Customer.`; by default all."
            ),
        ] = "",
    ) -> CachePurge | None:
        """Done in this process and in Redis first."""
        context: GatewayContext = info.context
        done = await _unless_refused(_operations(context).purge_cache(context.caller, service, key_prefix))
        return CachePurge(
            instance=done.instance,
            told=done.told,
            memory_entries=done.memory,
            redis_entries=None if done.redis is None else Long(done.redis),
            error=done.trouble or None,
        )

    @strawberry.mutation(
        description="Look for a newer supergraph now, and serve it if it is good; otherwise the old one goes on. For "
        "operators.",
        extensions=[OperatorsOnly()],
    )
    async def reload_supergraph(self, info: strawberry.Info) -> SupergraphReload | None:
        """Done in this process."""
        context: GatewayContext = info.context
        done = await _unless_refused(_operations(context).reload_supergraph(context.caller))
        return SupergraphReload(
            instance=done.instance,
            changed=done.changed,
            previous_hash=done.previous,
            hash=done.digest,
            error=done.trouble or None,
        )


def _operations(context: GatewayContext) -> Operations:
    return context.state.operations


async def _unless_refused(done: Awaitable[_Done]) -> _Done:
    try:
        return await done
    except Refused as refused:
        raise GraphQLError(str(refused), extensions={"code": "BAD_USER_INPUT", "category": "validation"}) from refused


def _circuit_action(context: GatewayContext, target: CircuitTarget, done: Acted) -> CircuitAction:
    now = circuits_of(context.state.upstreams[target.service], context.state.wall)
    return CircuitAction(
        instance=done.instance,
        told=done.told,
        service=target.service,
        before=[_before(circuit) for circuit in done.before],
        circuits=[circuit for circuit in now if target.means(circuit.protocol, circuit.operation)],
    )


def _before(circuit: CircuitBrief) -> CircuitBefore:
    return CircuitBefore(protocol=circuit.protocol, operation=circuit.operation, state=circuit.state, mode=circuit.mode)
