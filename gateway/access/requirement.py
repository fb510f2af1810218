"""What a caller must meet to see a field or a type: ``@authenticated``, ``@requiresScopes`` and ``@policy``.

Specifications: https://specs.apollo.dev/authenticated/v0.1, requiresScopes/v0.1 and policy/v0.1. Knows GraphQL only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

Alternatives: TypeAlias = tuple[frozenset[str], ...]
"""Any of these sets is enough, all that is in it being had. Of none of them nobody ever has enough."""

ARGUMENTS: Mapping[str, str | None] = {"authenticated": None, "requiresScopes": "scopes", "policy": "policies"}
"""The directives, each with the name of its argument."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """All three must be met; None asks for nothing."""

    authenticated: bool = False
    scopes: Alternatives | None = None
    policies: Alternatives | None = None

    def met_by(self, authenticated: bool, scopes: frozenset[str], granted: frozenset[str]) -> bool:
        """Whether a caller meets it, who has these scopes and is granted these policies."""
        return (
            (authenticated or not self.authenticated)
            and (self.scopes is None or any(each <= scopes for each in self.scopes))
            and (self.policies is None or any(each <= granted for each in self.policies))
        )

    def covers(self, other: "Requirement") -> bool:
        """Whether meeting this one always meets the other."""
        return (
            (self.authenticated or not other.authenticated)
            and _implies(self.scopes, other.scopes)
            and _implies(self.policies, other.policies)
        )


def requirement(applied: Iterable[tuple[str, Any]]) -> Requirement | None:
    """What directives ask for together; None for nothing.

    Args:
        applied: names, as the specifications have them, and the argument's value; others are passed over.

    Raises:
        ValueError: a value is not a list of lists of names.
    """
    authenticated, sets = False, {"requiresScopes": None, "policy": None}  # type: bool, dict[str, Alternatives | None]
    for name, value in applied:
        if name == "authenticated":
            authenticated = True
        elif name in sets:
            known, more = sets[name], _alternatives(value)
            sets[name] = more if known is None else both(known, more)
    found = Requirement(authenticated, sets["requiresScopes"], sets["policy"])
    return None if found == Requirement() else found


def both(left: Alternatives, right: Alternatives) -> Alternatives:
    """What is enough for either and both; sets that others imply are left out."""
    together = {a | b for a, b in product(left, right)}
    return tuple(sorted((each for each in together if not any(other < each for other in together)), key=sorted))


def _implies(mine: Alternatives | None, theirs: Alternatives | None) -> bool:
    return theirs is None or (mine is not None and all(any(other <= each for other in theirs) for each in mine))


def _alternatives(value: Any) -> Alternatives:
    """A value of ``[[String!]!]!``; one name, and one list of them, stand for lists (GraphQL §3.11)."""
    found = []
    for each in value if isinstance(value, list) else [value]:
        names = each if isinstance(each, list) else [each]
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"{value!r} is not a list of lists of names")
        found.append(frozenset(names))
    return tuple(sorted(set(found), key=sorted))
