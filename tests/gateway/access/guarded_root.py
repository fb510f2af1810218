"""A module that guards its root type, which would be lost."""

import strawberry

from schema.access import authenticated


@strawberry.type(directives=[authenticated()])
class Query:
    """Guarded as a whole."""

    secret: str = "canary-secret"
