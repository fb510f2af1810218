"""The circuits of one protocol of a service: one for all its operations, or one for each."""

from collections import OrderedDict
from collections.abc import Callable, Mapping

from clients.state.circuit import Circuit, CircuitStatus, Mode, ModeChange

OTHERS = "other operations"
"""Names the circuit that operations share when there are too many for one each."""

_LIMIT = 256


class NoSuchCircuit(LookupError):
    """An operator named a circuit that there is not; the message says what there is."""


class Circuits:
    """Finds the circuit of an operation. Pure like the circuits: `now` is passed in.

    By operation, a circuit is made at the first call. Declared operations are few; those of query plans come and go, so
    past the limit the one that was not used for longest goes, if forgetting it does no harm: an open circuit, and one
    that an operator has touched, stays. When all of them must stay, newcomers share one.

    Args:
        make: a new circuit, for the operation named; for all of them when the name is None.
        by_operation: whether each operation has its own.
        limit: circuits kept by operation, besides those that an operator names.
    """

    def __init__(self, make: Callable[[str | None], Circuit], *, by_operation: bool, limit: int = _LIMIT) -> None:
        self._make = make
        self._limit = limit
        self._for_all: ModeChange | None = None  # for circuits yet to be made
        self._named: OrderedDict[str, Circuit] = OrderedDict()  # the least recently used first
        self.shared = None if by_operation else make(None)
        """The one for all operations; None when each has its own."""

    def of(self, operation: str, now: float) -> tuple[str, Circuit]:
        """The circuit of an operation, by operation; and the name it goes by."""
        circuit = self._named.get(operation)
        if circuit is not None:
            self._named.move_to_end(operation)
            return operation, circuit
        if len(self._named) >= self._limit and not self._make_room(now):
            operation = OTHERS
        return operation, self._get(operation)

    def refuses(self, operation: str, now: float) -> bool:
        """Whether a call of the operation would be refused at `now`."""
        circuit = self.shared or self._named.get(operation)
        return circuit is not None and now < circuit.refuses_until

    def set_mode(self, mode: Mode, now: float, *, by: str, reason: str | None, operation: str | None) -> None:
        """Set the mode of one operation's circuit, or of all: those that are made later included."""
        if operation is None:
            self._for_all = None if mode is Mode.AUTOMATIC else ModeChange(mode, by, now, reason)
        for circuit in self._meant(operation):
            circuit.set_mode(mode, now, by=by, reason=reason)

    def reset(self, now: float, *, by: str, reason: str | None, operation: str | None) -> None:
        """Reset one operation's circuit, or all."""
        if operation is None:
            self._for_all = None
        for circuit in self._meant(operation):
            circuit.reset(now, by=by, reason=reason)

    def status(self, now: float) -> Mapping[str | None, CircuitStatus]:
        """Each circuit by the name of its operation; the one for all by None."""
        if self.shared is not None:
            return {None: self.shared.status(now)}
        return {name: self._named[name].status(now) for name in sorted(self._named)}

    def _meant(self, operation: str | None) -> list[Circuit]:
        if self.shared is not None:
            return [self.shared]
        return list(self._named.values()) if operation is None else [self._get(operation)]

    def _get(self, operation: str) -> Circuit:
        circuit = self._named.get(operation)
        if circuit is None:
            circuit = self._named[operation] = self._make(operation)
            if (change := self._for_all) is not None:
                circuit.set_mode(change.mode, change.at, by=change.by, reason=change.reason)
        return circuit

    def _make_room(self, now: float) -> bool:
        for name, circuit in self._named.items():
            if name != OTHERS and circuit.is_at_rest(now):
                del self._named[name]
                return True
        return False
