"""Which upstream is broken, and how: the switches' state, without any I/O."""

import enum
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

UPSTREAMS: Mapping[str, tuple[str, ...]] = {
    "customers": ("graphql", "rest"),
    "invoices": ("graphql", "rest"),
    "bank": ("rest",),
    "products": ("graphql", "rest"),
    "reviews": ("graphql",),
}
"""The demo's upstreams with the protocols they speak."""

ALL = "all"
"""The target that means every upstream."""


class Mode(enum.StrEnum):
    """How an upstream is broken."""

    ERROR = "error"
    """Answers 500."""
    UNAVAILABLE = "unavailable"
    """Answers 503 with Retry-After (`retry_after_s`)."""
    HANG = "hang"
    """Takes the request and never answers."""
    SLOW = "slow"
    """Answers `delay_ms` late."""
    FLAKY = "flaky"
    """Answers 503 to a share of the requests (`rate`)."""
    MALFORMED = "malformed"
    """Answers 200 with broken JSON."""
    EMPTY = "empty"
    """Answers 200 with no body."""
    RESET = "reset"
    """Drops the connection without an answer."""
    DOWN = "down"
    """Refuses connections: the whole upstream, both protocols share its port."""
    STEADY = "steady"
    """Without the faults it was born with: makes the bank quick and reliable."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One switch thrown. What a mode has no use for is ignored."""

    mode: Mode
    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 3000
    """For `slow`. Default 3000."""
    rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """For `flaky`: the share of requests that fail. Default one in two."""
    retry_after_s: Annotated[int, msgspec.Meta(ge=0)] = 2
    """For `unavailable`. Default 2."""


class FaultError(Exception):
    """A switch that cannot be thrown; says what can.

    ├── UnknownTarget
    └── NotWhole
    """


class UnknownTarget(FaultError):
    """There is no such upstream or protocol."""


class NotWhole(FaultError):
    """Only a whole upstream can be down."""


class FaultBoard:
    """The switches of all upstreams, and how many requests each protocol has had.

    `down` belongs to a whole upstream; any later switch of that upstream brings it up again.
    """

    def __init__(self, upstreams: Mapping[str, tuple[str, ...]] = UPSTREAMS) -> None:
        """Everything works."""
        self._upstreams = upstreams
        self._faults: dict[tuple[str, str], Fault] = {}
        self._requests: Counter[tuple[str, str]] = Counter()
        self._failed: Counter[tuple[str, str]] = Counter()

    @property
    def targets(self) -> list[str]:
        """What can be broken: `customers.graphql`, `customers` for both protocols, `all`."""
        names = [f"{upstream}.{protocol}" for upstream, protocols in self._upstreams.items() for protocol in protocols]
        return [*names, *self._upstreams, ALL]

    def set(self, target: str, fault: Fault) -> None:
        """Break `target`; replaces the fault it has.

        Raises:
            UnknownTarget: listing the targets there are.
            NotWhole: `down` for one protocol.
        """
        pairs = self._resolve(target)
        if fault.mode is Mode.DOWN and "." in target:
            upstream = target.partition(".")[0]
            raise NotWhole(f"{target} cannot be down alone: its protocols share a port; use {upstream}")
        self._bring_up(pairs)
        self._faults |= dict.fromkeys(pairs, fault)

    def clear(self, target: str) -> None:
        """Mend `target`, whether it is broken or not.

        Raises:
            UnknownTarget: listing the targets there are.
        """
        pairs = self._resolve(target)
        self._bring_up(pairs)
        for pair in pairs:
            self._faults.pop(pair, None)

    def fault(self, upstream: str, protocol: str) -> Fault | None:
        """The switch thrown for this protocol."""
        return self._faults.get((upstream, protocol))

    def is_down(self, upstream: str) -> bool:
        """Whether the upstream is to refuse connections."""
        return any(fault.mode is Mode.DOWN for (name, _), fault in self._faults.items() if name == upstream)

    def count(self, upstream: str, protocol: str, *, failed: bool = False) -> None:
        """Note a request, or, with `failed`, that it was answered badly on purpose."""
        (self._failed if failed else self._requests)[upstream, protocol] += 1

    def report(self) -> dict[str, Any]:
        """Every upstream and protocol: its fault, requests seen, requests failed on purpose."""
        return {
            upstream: {
                "down": self.is_down(upstream),
                "protocols": {
                    protocol: {
                        "fault": msgspec.to_builtins(self._faults.get((upstream, protocol))),
                        "requests": self._requests[upstream, protocol],
                        "failed": self._failed[upstream, protocol],
                    }
                    for protocol in protocols
                },
            }
            for upstream, protocols in self._upstreams.items()
        }

    def _resolve(self, target: str) -> list[tuple[str, str]]:
        upstream, dot, protocol = target.partition(".")
        pairs = [
            (name, spoken)
            for name, protocols in self._upstreams.items()
            for spoken in protocols
            if target == ALL or (name == upstream and (not dot or spoken == protocol))
        ]
        if not pairs:
            raise UnknownTarget(f"there is no {target}; the targets are {', '.join(self.targets)}")
        return pairs

    def _bring_up(self, pairs: list[tuple[str, str]]) -> None:
        touched = {upstream for upstream, _ in pairs}
        for pair, fault in list(self._faults.items()):
            if pair[0] in touched and fault.mode is Mode.DOWN:
                del self._faults[pair]
