"""What composition reports: errors and hints as data.

    Problem
    ├── CompositionError   composition has no result
    └── CompositionHint    it has one, and something is worth a look

Nothing here is raised: `compose` returns every problem it finds. The codes are those of the Federation 2 error
reference; `codes.py` says what each means and what to do about it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.federation.composition.codes import CODES


@dataclass(frozen=True, slots=True)
class Problem:
    """A message and its places. ``coordinates`` are schema coordinates: ``User.name``, ``Query.user(id:)``."""

    code: str
    message: str
    subgraphs: tuple[str, ...] = ()
    coordinates: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"[{', '.join(self.subgraphs)}] " if self.subgraphs else ""
        return f"{self.code}: {where}{self.message}"


@dataclass(frozen=True, slots=True)
class CompositionError(Problem):
    """A reason why the subgraphs do not compose. ``hint`` says what to do about it."""

    hint: str = ""


@dataclass(frozen=True, slots=True)
class CompositionHint(Problem):
    """A difference between subgraphs that composition has settled, and how."""


@dataclass(slots=True)
class Problems:
    """Collects problems while one composition runs; repeated ones count once."""

    errors: list[CompositionError] = field(default_factory=list)
    hints: list[CompositionHint] = field(default_factory=list)

    def error(
        self,
        code: str,
        message: str,
        *,
        subgraphs: Iterable[str] = (),
        coordinates: Iterable[str] = (),
        hint: str | None = None,
    ) -> None:
        """Record an error; without ``hint`` it carries its code's usual remedy."""
        remedy = CODES[code].remedy if hint is None else hint
        found = CompositionError(code, message, tuple(subgraphs), tuple(coordinates), remedy)
        if found not in self.errors:
            self.errors.append(found)

    def hint(self, code: str, message: str, *, subgraphs: Iterable[str] = (), coordinates: Iterable[str] = ()) -> None:
        """Record a hint."""
        found = CompositionHint(code, message, tuple(subgraphs), tuple(coordinates))
        if found not in self.hints:
            self.hints.append(found)


def name_list(names: Iterable[str]) -> str:
    """Names for a message: ``"a", "b" and "c"``, in the order given."""
    quoted = [f'"{name}"' for name in names]
    if len(quoted) < 2:
        return "".join(quoted)
    return ", ".join(quoted[:-1]) + " and " + quoted[-1]
