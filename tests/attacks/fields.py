"""A resolver that fails with a secret in its exception."""

import strawberry

from tests.attacks.target import CANARY


@strawberry.type
class Query:
    """One field."""

    @strawberry.field(description="Fails.")  # type: ignore[untyped-decorator]
    def explodes(self, how: str = "") -> str | None:
        """Never answers."""
        raise RuntimeError(f"no connection to postgres://gateway:{CANARY}@db/{how}")
