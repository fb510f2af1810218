"""Mutations for operators, as the status page knows them: what its buttons ask for, until the schema has its own."""

import strawberry

from clients.call import ProtocolName
from clients.state.circuit import Mode
from schema import upstreams  # noqa: F401 - describes the enums
from schema.access import require_operator
from schema.context import GatewayContext


@strawberry.type
class Done:
    """What was done."""

    service: str


@strawberry.type
class Mutation:
    """What operators do."""

    @strawberry.mutation
    def force_circuit(  # noqa: PLR0917 - as the arguments of the field are
        self,
        info: strawberry.Info,
        service: str,
        mode: Mode,
        reason: str,
        protocol: ProtocolName | None = None,
        operation: str | None = None,
    ) -> Done | None:
        """Force it."""
        context: GatewayContext = info.context
        require_operator(context)
        context.state.upstreams[service].force_circuit(
            mode, by="the test", reason=reason, protocol=protocol, operation=operation
        )
        return Done(service=service)

    @strawberry.mutation
    def reset_circuit(
        self,
        info: strawberry.Info,
        service: str,
        protocol: ProtocolName | None = None,
        operation: str | None = None,
    ) -> Done | None:
        """Reset it."""
        context: GatewayContext = info.context
        require_operator(context)
        context.state.upstreams[service].reset_circuit(by="the test", protocol=protocol, operation=operation)
        return Done(service=service)

    @strawberry.mutation
    def purge_cache(self, info: strawberry.Info, service: str) -> int | None:
        """Purge it."""
        context: GatewayContext = info.context
        require_operator(context)
        return context.state.upstreams[service].status().cache.fresh
