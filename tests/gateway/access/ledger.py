"""A schema module whose fields and types are guarded, and a callable that grants policies."""

import enum
from collections.abc import Collection

import strawberry
from strawberry.federation.schema_directives import RequiresScopes

from clients.call import Caller
from schema.access import authenticated, policy, requires

resolved: list[str] = []
"""What resolvers ran, newest last; tests clear it."""


@strawberry.enum(directives=[requires("grades")])
class Grade(enum.Enum):
    """Guarded as a type."""

    GOOD = "good"


@strawberry.interface
class Entry:
    """What books are made of."""

    id: strawberry.ID

    @strawberry.field
    def title(self) -> str:
        """Nobody's secret."""
        return f"Entry {self.id}"


@strawberry.federation.type(keys=["id"])
class Account(Entry):
    """An entity with guarded fields."""

    @classmethod
    def resolve_reference(cls, id: strawberry.ID) -> "Account":  # noqa: A002 - the name of the key
        """Finds one."""
        return cls(id=id)

    @strawberry.field(directives=[requires("accounts:read", "accounts:all")])  # type: ignore[untyped-decorator]
    def balance(self) -> float | None:
        """Needs two scopes."""
        resolved.append(f"balance {self.id}")
        return 12.5

    @strawberry.field(directives=[RequiresScopes(scopes=[["accounts:read"], ["audit"]])])  # type: ignore[untyped-decorator]
    def last_seen(self) -> str:
        """Needs one of two, and may not be null."""
        return "today"

    @strawberry.field(directives=[policy("teller")])  # type: ignore[untyped-decorator]
    def owner_name(self) -> str | None:
        """Needs a policy."""
        resolved.append(f"owner {self.id}")
        return "Ada"

    @strawberry.field
    def grade(self) -> Grade | None:
        """Guarded by its type."""
        return Grade.GOOD


@strawberry.type(directives=[authenticated()])
class Audit(Entry):
    """Guarded as a whole."""


@strawberry.type
class Query:
    """Root fields."""

    @strawberry.field
    def account(self, id: strawberry.ID) -> Account | None:  # noqa: A002 - the name of the argument
        """One account."""
        return Account(id=id)

    @strawberry.field
    def entries(self) -> list[Entry]:
        """Of both kinds."""
        return [Account(id=strawberry.ID("1")), Audit(id=strawberry.ID("2"))]

    @strawberry.field
    def audit(self) -> Audit | None:
        """Guarded by its type."""
        resolved.append("audit")
        return Audit(id=strawberry.ID("2"))


@strawberry.type
class Mutation:
    """Changes."""

    @strawberry.mutation(directives=[requires("accounts:close")])  # type: ignore[untyped-decorator]
    def close_account(self, id: strawberry.ID) -> bool | None:  # noqa: A002 - the name of the argument
        """Needs a scope."""
        resolved.append(f"close {id}")
        return True


async def grant(policies: frozenset[str], caller: Caller) -> Collection[str]:
    """Whoever is called by a policy's name is granted it."""
    if caller.user == "broken":
        raise RuntimeError("canary-secret")
    return {caller.user} & policies if caller.user else set()


def not_async(policies: frozenset[str], caller: Caller) -> Collection[str]:
    """Cannot be used."""
    return policies
