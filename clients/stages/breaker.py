"""The circuit breaker: asks the circuit for leave, and tells it what became of the call."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial

from clients.call import Answer, Call, Handler, ProtocolName
from clients.clock import Clock
from clients.errors import CircuitOpen, DeadlineExceeded, ExecutionFailed, Rejected, UpstreamError
from clients.service import Service
from clients.state.circuit import Circuit, Failure, ModeChange, Outcome, Refusal
from clients.state.circuits import Circuits


class Breaker:
    """Guards one protocol of a service with its circuit. Cancellation is never a failure: the permit goes back.

    Args:
        service: the service's name.
        protocol: for the error of a refusal.
        circuit: its state.
        clock: all time comes from it.
        fair_s: a call that had this long, and no answer when its deadline came, is held against the upstream.
        operation: for the error of a refusal; None when the circuit is that of the whole service.
    """

    def __init__(
        self,
        service: str,
        protocol: ProtocolName,
        circuit: Circuit,
        clock: Clock,
        *,
        fair_s: float,
        operation: str | None = None,
    ) -> None:
        self._service = service
        self._protocol = protocol
        self._circuit = circuit
        self._clock = clock
        self._fair_s = fair_s
        self._operation = operation

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """Go on with a permit, or raise CircuitOpen at once."""
        circuit, clock = self._circuit, self._clock
        permit = circuit.acquire(clock.now())
        if isinstance(permit, Refusal):
            if (span := call.caller.span) is not None:
                span.event("refused by open circuit", {"breakwater.protocol": self._protocol.value})
            raise CircuitOpen(self._service, partial(self._explain, permit), retry_after_s=permit.retry_after_s)
        if permit.serial and (span := call.caller.span) is not None:
            span.event("probe of half-open circuit", {"breakwater.protocol": self._protocol.value})
        outcome, failure, queued_s = Outcome.IGNORED, None, 0.0
        try:
            answer = await inner(call)
            outcome, queued_s = Outcome.SUCCESS, answer.queued_s
        except UpstreamError as error:
            outcome = self._judge(error)
            if outcome is Outcome.FAILURE or outcome is Outcome.UNANSWERED:
                failure = Failure(error.code, f"{error.service}: {error.summary}", clock.now(), call.caller.request_id)
            raise
        finally:
            circuit.settle(permit, outcome, clock.now(), failure, queued_s=queued_s)
        return answer

    def _judge(self, error: UpstreamError) -> Outcome:
        """What an error says about the upstream's health; what was refused further in says nothing."""
        if error.counts_as_failure:
            return Outcome.FAILURE
        if isinstance(error, DeadlineExceeded):
            return Outcome.UNANSWERED if error.given_s >= self._fair_s else Outcome.IGNORED
        # it answered as a healthy one does, though not what the client hoped for
        answered = error.reached_upstream and isinstance(error, Rejected | ExecutionFailed)
        return Outcome.SUCCESS if answered else Outcome.IGNORED

    def _explain(self, refusal: Refusal) -> str:
        """The refusal as a sentence; made when it is read, which most refusals are not."""
        circuit = f"the {self._protocol} circuit" + (f" of {self._operation}" if self._operation else "")
        if refusal.forced is not None:
            return f"{circuit} was {refusal.forced} (at {self._wall(refusal.forced)}); an operator must give it back"
        return f"{circuit} is open; next probe in {refusal.retry_after_s or 0.0:.1f} s"

    def _wall(self, change: ModeChange) -> str:
        at = self._clock.wall() - timedelta(seconds=self._clock.now() - change.at)
        return at.isoformat(timespec="seconds")


def make_breaker(
    service: Service, protocol: ProtocolName, circuits: Circuits, clock: Clock
) -> "Breaker | OperationBreaker":
    """The breaker of one protocol, by the scope that the service's policy asks for."""
    if circuits.shared is None:
        return OperationBreaker(service, protocol, circuits, clock)
    return Breaker(service.name, protocol, circuits.shared, clock, fair_s=service.policy.fair_s)


def all_refuse(circuits: Iterable[Circuits], clock: Clock) -> Callable[[Call], bool]:
    """Tells calls that every circuit of a service would refuse: they have no answer to share."""
    every = tuple(circuits)
    shared = tuple(each.shared for each in every if each.shared is not None)
    now = clock.now

    def refused(_: Call) -> bool:
        for circuit in shared:  # noqa: SIM110 - a generator costs more than all the rest
            if circuit.refuses_until <= now():
                return False
        return True

    def refused_by_operation(call: Call) -> bool:
        return all(each.refuses(call.operation.circuit_name, now()) for each in every)

    return refused if shared else refused_by_operation


class OperationBreaker:
    """Guards each operation of one protocol with a circuit of its own."""

    def __init__(self, service: Service, protocol: ProtocolName, circuits: Circuits, clock: Clock) -> None:
        self._breaker = partial(Breaker, service.name, protocol, clock=clock, fair_s=service.policy.fair_s)
        self._circuits = circuits
        self._clock = clock

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """As a Breaker does."""
        name, circuit = self._circuits.of(call.operation.circuit_name, self._clock.now())
        return await self._breaker(circuit, operation=name)(call, inner)
