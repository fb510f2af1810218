"""The balancer: one of the service's endpoints for each attempt, and what becomes of it.

Not in the chain of a service that has one endpoint.
"""

from msgspec.structs import replace

from clients.call import Answer, Call, Handler
from clients.clock import Clock
from clients.errors import ExecutionFailed, Rejected, UpstreamError
from clients.state.balancer import Balancer
from clients.state.circuit import Failure, Outcome


class TrackTried:
    """Gives a call the list that its attempts are written down in. All of them share it: retries, hedges, protocols."""

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """Go on with an empty list."""
        return await inner(replace(call, tried=[]))


class Balance:
    """Sends each attempt to an endpoint: another one than the attempts before it, where there is one.

    A failure of one endpoint while another one answers is held against the endpoint alone: circuits are about the
    service. Cancellation is never a failure: the place is given back.
    """

    def __init__(self, balancer: Balancer, clock: Clock) -> None:
        self._balancer = balancer
        self._clock = clock

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """Go on, to the endpoint chosen."""
        balancer, clock = self._balancer, self._clock
        tried = [] if call.tried is None else call.tried
        lease = balancer.pick(clock.now(), tried)
        tried.append(lease.endpoint)
        outcome, failure = Outcome.IGNORED, None
        try:
            answer = await inner(replace(call, endpoint=lease.endpoint))
            outcome = Outcome.SUCCESS
        except UpstreamError as error:
            if error.counts_as_failure:
                outcome = Outcome.FAILURE
                failure = Failure(error.code, f"{error.service}: {error.summary}", clock.now(), call.caller.request_id)
                if balancer.others_answer(lease):
                    error.counts_as_failure = False  # type: ignore[misc]  # for the stages outside of this one
            elif error.reached_upstream and isinstance(error, Rejected | ExecutionFailed):
                outcome = Outcome.SUCCESS  # it answered as a healthy one does
            raise
        finally:
            balancer.settle(lease, outcome, clock.now(), failure)
        return answer
