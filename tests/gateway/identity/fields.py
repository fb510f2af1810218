"""A field that shows the caller."""

import strawberry

from schema.access import OperatorsOnly
from schema.context import GatewayContext


@strawberry.type
class Me:
    user: str | None
    tenant: str | None
    authenticated: bool
    scopes: list[str]


async def secret() -> str | None:
    return "secret"


@strawberry.type
class Query:
    secret: str | None = strawberry.field(resolver=secret, extensions=[OperatorsOnly()])

    @strawberry.field
    def me(self, info: strawberry.Info) -> Me:
        context: GatewayContext = info.context
        caller = context.caller
        return Me(
            user=caller.user,
            tenant=caller.tenant,
            authenticated=caller.authenticated,
            scopes=sorted(caller.scopes),
        )
