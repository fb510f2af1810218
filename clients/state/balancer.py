"""Which endpoint the next call goes to, and which ones get none for a while; values in, values out, `now` passed in.

Round robin is nginx's smooth weighted one (`ngx_http_upstream_round_robin.c`, 2012). Least outstanding takes the less
busy of two drawn at random (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12, 2001).
Ejection is the outlier detection of Envoy (its architecture overview has a chapter of that name): failures in a row, a
time that grows by one unit with each ejection in a row, a bound on the share that is out. Other than there, an endpoint
that returns is tried by one call at a time until one was answered: a black hole costs one call for each return, not its
share of them.
"""

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from clients.endpoint import Endpoint
from clients.policy import EndpointsPolicy
from clients.state.circuit import Failure, Outcome

_JITTER = 0.1  # ± share of the time out, so that a fleet does not come back in step


class EndpointState(enum.StrEnum):
    """Whether an endpoint gets calls."""

    HEALTHY = "healthy"
    RETURNING = "returning"
    """Its time out is over; one call at a time tries it until one is answered."""
    EJECTED = "ejected"
    """It failed too often in a row and gets no calls for a while."""
    UNHEALTHY = "unhealthy"
    """It fails its health checks, and gets no calls while another one passes them."""


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """An endpoint's state has changed; `reason` says why, as a sentence part."""

    endpoint: Endpoint
    previous: EndpointState
    state: EndpointState
    reason: str


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """An endpoint, read as data. Times are monotonic seconds.

    Attributes:
        outstanding: calls under way.
        consecutive_failures: since the last success or return.
        ejected_until: when an ejected one returns; None otherwise.
        ejections: times it was ejected since the start.
        last_failure: the last one that counted.
    """

    name: str
    weight: int
    state: EndpointState
    since: float
    reason: str
    outstanding: int
    consecutive_failures: int
    ejected_until: float | None
    ejections: int
    last_failure: Failure | None


@dataclass(slots=True, eq=False)
class _Seat:
    """What is known of one endpoint."""

    endpoint: Endpoint
    since: float
    reason: str = "no failures seen"
    outstanding: int = 0
    current: int = 0  # of the smooth round robin
    consecutive: int = 0
    returning: bool = False
    ejected_until: float | None = None
    ejections: int = 0
    ejections_in_a_row: int = 0
    fails_checks: str = ""  # why; empty while it passes them
    generation: int = 0
    last_failure: Failure | None = None

    @property
    def ejected(self) -> bool:
        return self.ejected_until is not None

    @property
    def state(self) -> EndpointState:
        if self.ejected:
            return EndpointState.EJECTED
        if self.fails_checks:
            return EndpointState.UNHEALTHY
        return EndpointState.RETURNING if self.returning else EndpointState.HEALTHY


@dataclass(slots=True, eq=False)
class Lease:
    """One call's place at an endpoint. Hand it back with `settle`, whatever happened; only `endpoint` is for others."""

    endpoint: Endpoint
    seat: _Seat
    generation: int
    settled: bool = False


class Balancer:
    """The endpoints of one service and protocol. Not safe across threads: one event loop owns it.

    Args:
        endpoints: at least one.
        policy: how to choose, and when to eject.
        now: monotonic seconds.
        random: draws the choices and the jitter on times out.
        on_change: called after each change of an endpoint's state.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        policy: EndpointsPolicy,
        *,
        now: float,
        random: Random,
        on_change: Callable[[EndpointChange], None] = lambda _: None,
    ) -> None:
        self._policy = policy.eject
        self._random = random
        self._on_change = on_change
        self._choose = {
            "round-robin": self._next_in_turn,
            "random": self._draw,
            "least-outstanding": self._less_busy_of_two,
        }[policy.balance]
        self._seats: dict[Endpoint, _Seat] = {}
        self._usable: list[_Seat] = []
        self._returns_at = math.inf
        self.replace(endpoints, now)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All of them, whatever their state."""
        return tuple(self._seats)

    def pick(self, now: float, avoid: Sequence[Endpoint] = ()) -> Lease:
        """A place for one call.

        `avoid` has the endpoints this call was sent to already, in that order: one of the others is chosen, or at least
        another one than the last, where there is one that may be chosen at all.
        """
        self._return_due(now)
        seats = self._usable
        if avoid and len(seats) > 1:
            seats = (
                [seat for seat in seats if seat.endpoint not in avoid]
                or [seat for seat in seats if seat.endpoint != avoid[-1]]
                or seats
            )
        seat = seats[0] if len(seats) == 1 else self._choose(seats)
        seat.outstanding += 1
        if seat.returning:
            self._find_usable()
        return Lease(seat.endpoint, seat, seat.generation)

    def settle(self, lease: Lease, outcome: Outcome, now: float, failure: Failure | None = None) -> None:
        """Tell what became of a call; of one begun before its endpoint was last ejected, only that it has ended."""
        if lease.settled:
            return
        lease.settled = True
        seat = lease.seat
        seat.outstanding -= 1
        self._return_due(now)
        current = lease.generation == seat.generation and self._seats.get(seat.endpoint) is seat
        if current and outcome is Outcome.FAILURE:
            self._failed(seat, now, failure)
        elif current and outcome is Outcome.SUCCESS:
            self._succeeded(seat, now)
        if seat.returning:
            self._find_usable()

    def others_answer(self, lease: Lease) -> bool:
        """Whether another endpoint is in use that has not failed since it last answered."""
        own = lease.seat
        return any(
            seat is not own and seat.consecutive == 0 and seat.state is EndpointState.HEALTHY
            for seat in self._seats.values()
        )

    def mark(self, endpoint: Endpoint, now: float, reason: str, *, passes: bool) -> None:
        """Tell how an endpoint's health checks go; an endpoint that is gone meanwhile is no matter."""
        seat = self._seats.get(endpoint)
        if seat is not None and bool(seat.fails_checks) is passes:
            before = seat.state
            seat.fails_checks = "" if passes else reason
            self._changed(seat, before, now, reason)

    def replace(self, endpoints: Sequence[Endpoint], now: float) -> None:
        """Take these endpoints; of those that stay everything is kept.

        Raises:
            ValueError: there is none.
        """
        if not endpoints:
            raise ValueError("a balancer needs at least one endpoint")
        before = self._seats
        self._seats = {e: before.get(e) or _Seat(e, now) for e in endpoints}
        self._find_usable()

    def status(self, now: float) -> tuple[EndpointStatus, ...]:
        """Read the endpoints; a time out that is over shows, also where there are no calls."""
        self._return_due(now)
        return tuple(
            EndpointStatus(
                name=seat.endpoint.name,
                weight=seat.endpoint.weight,
                state=seat.state,
                since=seat.since,
                reason=seat.reason,
                outstanding=seat.outstanding,
                consecutive_failures=seat.consecutive,
                ejected_until=seat.ejected_until,
                ejections=seat.ejections,
                last_failure=seat.last_failure,
            )
            for seat in self._seats.values()
        )

    def _failed(self, seat: _Seat, now: float, failure: Failure | None) -> None:
        seat.consecutive += 1
        seat.last_failure = failure
        if (seat.returning or seat.consecutive >= self._policy.failures) and self._may_eject(seat):
            before = seat.state
            seat.ejections += 1
            seat.ejections_in_a_row += 1
            wait = min(self._policy.eject_s * seat.ejections_in_a_row, self._policy.max_eject_s)
            seat.ejected_until = now + wait * self._random.uniform(1 - _JITTER, 1 + _JITTER)
            seat.generation += 1
            tried = "the call that tried it failed" if seat.returning else f"{seat.consecutive} failure(s) in a row"
            seat.returning = False
            because = f" (last: {failure.code})" if failure is not None else ""
            self._changed(seat, before, now, tried + because)

    def _succeeded(self, seat: _Seat, now: float) -> None:
        seat.consecutive = 0
        if seat.returning:
            before = seat.state
            seat.returning = False
            seat.ejections_in_a_row = 0
            self._changed(seat, before, now, "answered after its time out")

    def _may_eject(self, seat: _Seat) -> bool:
        """Not beyond the share, though one may always go; and never the last that can answer."""
        out = sum(each.ejected for each in self._seats.values())
        allowed = max(1, int(len(self._seats) * self._policy.max_share))
        left = any(each is not seat and not each.ejected and not each.fails_checks for each in self._seats.values())
        return left and out < allowed

    def _return_due(self, now: float) -> None:
        """Let those return whose time out is over, each at its own time: nothing depends on when somebody looks."""
        if now < self._returns_at:
            return
        for seat in self._seats.values():
            until = seat.ejected_until
            if until is not None and until <= now:
                before = seat.state
                seat.ejected_until = None
                seat.returning = True
                seat.consecutive = seat.current = 0
                seat.generation += 1
                self._changed(seat, before, until, "its time out is over")

    def _changed(self, seat: _Seat, before: EndpointState, at: float, reason: str) -> None:
        self._find_usable()
        if seat.state is not before:
            seat.since = at
            seat.reason = seat.fails_checks if seat.state is EndpointState.UNHEALTHY else reason
            self._on_change(EndpointChange(seat.endpoint, before, seat.state, seat.reason))

    def _find_usable(self) -> None:
        """Those that may be chosen: the best there are, and where none is good, the least bad."""
        seats = list(self._seats.values())
        staying = [seat for seat in seats if not seat.ejected]
        passing = [seat for seat in staying if not seat.fails_checks]
        free = [seat for seat in passing if not seat.returning or seat.outstanding == 0]
        self._usable = free or passing or staying or seats
        self._returns_at = min(
            (seat.ejected_until for seat in seats if seat.ejected_until is not None), default=math.inf
        )

    def _next_in_turn(self, seats: Sequence[_Seat]) -> _Seat:
        total = 0
        best = seats[0]
        for seat in seats:
            seat.current += seat.endpoint.weight
            total += seat.endpoint.weight
            if seat.current > best.current:
                best = seat
        best.current -= total
        return best

    def _draw(self, seats: Sequence[_Seat]) -> _Seat:
        """One at random, by weight."""
        left = self._random.random() * sum(seat.endpoint.weight for seat in seats)
        for seat in seats:
            left -= seat.endpoint.weight
            if left < 0:
                return seat
        return seats[-1]

    def _less_busy_of_two(self, seats: Sequence[_Seat]) -> _Seat:
        """The less busy for its weight of two drawn at random; the first one drawn when they are equal."""
        first = self._draw(seats)
        second = self._draw([seat for seat in seats if seat is not first])
        busier = first.outstanding * second.endpoint.weight > second.outstanding * first.endpoint.weight
        return second if busier else first
