"""What a PromQL expression names: metrics with their labels, and what is left of these after it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import promql_parser


@dataclass
class Named:
    """What an expression names.

    Attributes:
        metrics: labels it matches, by metric.
        grouped: labels it keeps, drops or joins by.
        kept: of the outermost aggregation; None where there is none.
    """

    metrics: dict[str, set[str]] = field(default_factory=dict)
    grouped: set[str] = field(default_factory=set)
    kept: set[str] | None = None


def named(text: str) -> Named:
    """What an expression names.

    Raises:
        ValueError: it does not parse.
    """
    found = Named()
    for part in _parts(promql_parser.parse(text)):
        if isinstance(part, promql_parser.VectorSelector):
            assert part.name, f"names no metric: {text}"
            found.metrics.setdefault(part.name, set()).update(m.name for m in part.matchers.matchers)
        elif isinstance(part, promql_parser.AggregateExpr):
            labels = set(part.modifier.labels) if part.modifier is not None else set()
            found.grouped |= labels
            found.kept = labels if found.kept is None else found.kept
        elif isinstance(part, promql_parser.BinaryExpr) and part.modifier is not None:
            found.grouped |= set(part.modifier.matching.labels if part.modifier.matching is not None else ())
    return found


def _parts(node: Any) -> Iterator[Any]:
    """It, and all below it, outermost first."""
    yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if (below := getattr(node, name, None)) is not None:
            yield from _parts(below)
    for below in getattr(node, "args", ()):
        yield from _parts(below)
