"""Fields for operators only: the state of the gateway and of its upstreams, and what acts on it."""

from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver, SyncExtensionResolver

from schema.context import GatewayContext


class OperatorsOnly(FieldExtension):
    """Answers operators only; for others the field is an error, so it should be nullable.

    `@strawberry.field(extensions=[OperatorsOnly()])`
    """

    def resolve(self, next_: SyncExtensionResolver, source: Any, info: strawberry.Info, **kwargs: Any) -> Any:
        """See Strawberry."""
        require_operator(info.context)
        return next_(source, info, **kwargs)

    async def resolve_async(
        self, next_: AsyncExtensionResolver, source: Any, info: strawberry.Info, **kwargs: Any
    ) -> Any:
        """See Strawberry."""
        require_operator(info.context)
        return await next_(source, info, **kwargs)


def require_operator(context: GatewayContext) -> None:
    """Go on if the caller is an operator.

    Raises:
        GraphQLError: it is not; with the code UNAUTHENTICATED or FORBIDDEN.
    """
    access, caller = context.state.ops_access, context.caller
    if access.allows(caller):
        return
    known = caller.authenticated
    code, category = ("FORBIDDEN", "authorization") if known else ("UNAUTHENTICATED", "authentication")
    raise GraphQLError(f"This is for operators only: {access.how}.", extensions={"code": code, "category": category})
