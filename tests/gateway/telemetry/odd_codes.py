"""A schema whose errors have codes of their own."""

import strawberry
from graphql import GraphQLError


@strawberry.type
class Query:
    @strawberry.field
    def odd(self, code: int) -> int | None:
        raise GraphQLError("odd", extensions={"code": f"ODD_{code}"})
