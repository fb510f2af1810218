"""The circuit breaker: asks the circuit for leave, and tells it what became of the call."""

from clients.call import Answer, Call, Handler, ProtocolName
from clients.clock import Clock
from clients.errors import CircuitOpen, ExecutionFailed, Rejected, UpstreamError
from clients.state.circuit import Circuit, Failure, Outcome, Refusal


class Breaker:
    """Guards one protocol of a service with its circuit. Cancellation is never a failure: the permit goes back."""

    def __init__(self, service: str, protocol: ProtocolName, circuit: Circuit, clock: Clock) -> None:
        self._service = service
        self._protocol = protocol
        self._circuit = circuit
        self._clock = clock

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """Go on with a permit, or raise CircuitOpen at once."""
        circuit, clock = self._circuit, self._clock
        permit = circuit.acquire(clock.now())
        if isinstance(permit, Refusal):
            raise CircuitOpen(
                self._service,
                f"the {self._protocol} circuit is open; next probe in {permit.retry_after_s:.1f} s",
                retry_after_s=permit.retry_after_s,
            )
        outcome, failure = Outcome.IGNORED, None
        try:
            answer = await inner(call)
            outcome = Outcome.SUCCESS
        except UpstreamError as error:
            if error.counts_as_failure:
                outcome = Outcome.FAILURE
                failure = Failure(error.code, f"{error.service}: {error.summary}", clock.now(), call.caller.request_id)
            elif _shows_health(error):
                outcome = Outcome.SUCCESS
            raise
        finally:
            circuit.settle(permit, outcome, clock.now(), failure)
        return answer


def _shows_health(error: UpstreamError) -> bool:
    """Whether the upstream answered as a healthy one does, though not what the client hoped for."""
    return error.reached_upstream and isinstance(error, Rejected | ExecutionFailed)
