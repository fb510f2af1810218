"""A module whose operation does not parse."""

import strawberry

from loaders.fields import upstream_field


@strawberry.type
class Query:
    """Broken."""

    x: str | None = upstream_field(str, service="crm", name="x", graphql="query {")
