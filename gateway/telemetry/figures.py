"""What became of the requests of this process, counted since the start.

A request puts its duration on a list and adds one to a count; the rest is done when the list is long, or when somebody
reads (see `clients.figures`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import OperationType

from clients.errors import upstream_error_types
from clients.figures import DURATION_BOUNDS_S, Histogram, HistogramFigures
from gateway.errors import EXECUTION_CODES
from gateway.http.errors import request_error_types

OTHER_CODE = "OTHER"
"""Counts what is not in the table of codes: a resolver or a subgraph may say anything."""

_PENDING = 512


def known_codes() -> frozenset[str]:
    """The table of codes: all that an error of the gateway's own can have."""
    return frozenset(
        [
            *(kind.code for kind in request_error_types()),
            *(kind.code for kind in upstream_error_types()),
            *(code for code, *_ in EXECUTION_CODES),
        ]
    )


@dataclass(frozen=True, slots=True)
class KindFigures:
    """The operations of one kind that were executed.

    Attributes:
        ok: answered as they should be.
        degraded: without an error, but something came from the cache past its time, from another service or a default.
        errors: with data, and errors beside it.
        failed: without data.
    """

    ok: int
    degraded: int
    errors: int
    failed: int
    durations: HistogramFigures


@dataclass(frozen=True, slots=True)
class GatewayFigures:
    """All requests.

    Attributes:
        kinds: those executed, by kind of operation.
        refused: those refused before anything was executed.
        codes: errors of all answers, by code.
    """

    kinds: Mapping[str, KindFigures]
    refused: int
    codes: Mapping[str, int]


class _Kind:
    __slots__ = ("degraded", "durations", "errors", "failed", "ok", "pending")

    def __init__(self) -> None:
        self.ok = self.degraded = self.errors = self.failed = 0
        self.pending: list[float] = []
        self.durations = Histogram(DURATION_BOUNDS_S)

    def fold(self) -> None:
        self.durations.add_all(self.pending)
        self.pending.clear()

    def read(self) -> KindFigures:
        self.fold()
        return KindFigures(self.ok, self.degraded, self.errors, self.failed, self.durations.read())


class RequestFigures:
    """Counts requests. One event loop owns it."""

    def __init__(self) -> None:
        self._kinds = {kind: _Kind() for kind in OperationType}
        self._queries = self._kinds[OperationType.QUERY]
        self._refused = 0
        self._known = known_codes()
        self._codes: dict[str, int] = {}

    def executed(
        self, kind: OperationType, errors: Sequence[Mapping[str, Any]], duration_s: float, *, degraded: bool, data: bool
    ) -> None:
        """An operation was answered."""
        of = self._queries if kind is _QUERY else self._kinds[kind]
        pending = of.pending
        pending.append(duration_s)
        if len(pending) >= _PENDING:
            of.fold()
        if errors:
            if data:
                of.errors += 1
            else:
                of.failed += 1
            for entry in errors:
                self._count(entry["extensions"]["code"])
        elif degraded:
            of.degraded += 1
        else:
            of.ok += 1

    def refused(self, code: str) -> None:
        """A request was refused, or could not be answered at all."""
        self._refused += 1
        self._count(code)

    def read(self) -> GatewayFigures:
        """The figures as they are now."""
        return GatewayFigures(
            {kind.value: each.read() for kind, each in self._kinds.items()}, self._refused, dict(self._codes)
        )

    def _count(self, code: str) -> None:
        counted = code if code in self._known else OTHER_CODE
        self._codes[counted] = self._codes.get(counted, 0) + 1


_QUERY = OperationType.QUERY
