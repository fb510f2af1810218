"""Who may see a field or a type: operators only, or whoever meets what its directives ask for."""

from collections.abc import Iterable
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver, SyncExtensionResolver
from strawberry.federation.schema_directives import Authenticated, Policy, RequiresScopes

from schema.context import GatewayContext

ACCESS_DIRECTIVES = (Authenticated, RequiresScopes, Policy)


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


def authenticated() -> Authenticated:
    """Only for callers of whom the gateway knows for certain who they are."""
    return Authenticated()


def requires(*scopes: str) -> RequiresScopes:
    """Only for callers who have all of these scopes. `RequiresScopes([["a"], ["b"]])` is for either."""
    if not scopes:
        raise ValueError("requires() needs a scope; authenticated() asks for none")
    return RequiresScopes(scopes=[[*scopes]])


def policy(*policies: str) -> Policy:
    """Only for callers who are granted all of these policies, by the callable of `access.policies`."""
    if not policies:
        raise ValueError("policy() needs the name of a policy")
    return Policy(policies=[[*policies]])


def guarded(directives: Iterable[object] | None) -> bool:
    """Whether one of the directives asks something of callers."""
    return any(isinstance(each, ACCESS_DIRECTIVES) for each in directives or ())
