"""A module whose field has a type that no schema can have."""

import strawberry


class Plain:
    """No Strawberry type."""


@strawberry.type
class Query:
    """Broken."""

    @strawberry.field
    def plain(self) -> Plain:
        """Not a GraphQL type."""
        return Plain()
