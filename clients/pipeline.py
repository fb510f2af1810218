"""The order of the stages, once, as a list: outermost first, and what is protocol-specific once for each protocol."""

from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import Protocol

from clients.call import Answer, Call, Handler, ProtocolName
from clients.clock import Clock
from clients.figures import Traffic
from clients.hooks import Hooks
from clients.protocols.exchange import Exchange
from clients.service import Service
from clients.stages.attempt import Attempt
from clients.stages.balancer import Balance, TrackTried
from clients.stages.breaker import make_breaker
from clients.stages.deadline import Deadline
from clients.stages.fallback import Fallback
from clients.stages.hedge import Hedge
from clients.stages.retry import Retry
from clients.stages.single_flight import SingleFlight
from clients.stages.stale_cache import StaleCache
from clients.state.balancer import Balancer
from clients.state.circuits import Circuits


class Stage(Protocol):
    """One behaviour of the pipeline: answers itself, or calls `inner` as often as it likes."""

    def __call__(self, call: Call, inner: Handler) -> Awaitable[Answer]:
        """Answer the call."""
        ...


def chain(*stages: Stage, innermost: Handler) -> Handler:
    """One handler out of stages, outermost first."""
    handler = innermost
    for stage in reversed(stages):
        handler = partial(stage, inner=handler)
    return handler


def assemble(
    service: Service,
    *,
    cache: StaleCache,
    flights: SingleFlight,
    retries: Mapping[ProtocolName, Retry],
    hedges: Mapping[ProtocolName, Hedge],
    circuits: Mapping[ProtocolName, Circuits],
    limits: Sequence[Stage],
    exchanges: Mapping[ProtocolName, Exchange],
    attempts: Mapping[ProtocolName, Traffic],
    fallback: Fallback,
    balancers: Mapping[ProtocolName, Balancer],
    hooks: Hooks,
    clock: Clock,
) -> Handler:
    """The whole pipeline of one service.

    The cache, which shares its calls in flight, and the deadline stand once for the service: what is kept may still be
    given when there is no time left to ask. Each protocol has its own retries, circuit and timer: retries stand outside
    the breaker, so the circuit sees every attempt, and a refusal is not tried again. The limits are the service's,
    shared by its protocols; they stand inside the breaker: a call it refuses uses up nothing. Where there are several
    endpoints, each attempt goes to one of them.
    """
    return chain(
        cache if service.policy.cache.keeps else flights,
        Deadline(service.name, clock),
        *([TrackTried()] if balancers else []),
        innermost=fallback.over(
            {
                protocol: chain(
                    retries[protocol],
                    *([hedges[protocol]] if protocol in hedges else []),
                    make_breaker(service, protocol, circuits[protocol], clock),
                    *limits,
                    *([Balance(balancers[protocol], clock)] if protocol in balancers else []),
                    Attempt(
                        service.name,
                        protocol,
                        timeout_s=service.policy.timeout_s,
                        traffic=attempts[protocol],
                        hooks=hooks,
                        clock=clock,
                    ),
                    innermost=exchange,
                )
                for protocol, exchange in exchanges.items()
            },
        ),
    )
