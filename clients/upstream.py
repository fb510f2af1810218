"""One upstream service: its pipeline, its circuits, and what is to be known about it."""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Self

from clients.call import Answer, Call, ProtocolName, ServedBy
from clients.clock import Clock, SystemClock
from clients.errors import UpstreamError
from clients.figures import CallFigures, CallTraffic, TimeIn, Traffic, TrafficFigures
from clients.hooks import CircuitEvent, Hooks, NoHooks, ServedEvent
from clients.pipeline import assemble
from clients.protocols.graphql import GraphQLExchange
from clients.protocols.rest import RestExchange
from clients.service import Service
from clients.stages.cache_key import CacheKeys
from clients.stages.fallback import Defaults, Fallback, Way
from clients.stages.hedge import Hedge
from clients.stages.retry import Retry, RetryFigures
from clients.stages.single_flight import SingleFlight
from clients.stages.stale_cache import CacheFigures, StaleCache
from clients.state.circuit import Circuit, CircuitStatus, State, Transition
from clients.state.retry_budget import RetryBudget
from clients.stores.base import Store
from clients.transports.base import Wire

_BY_ITSELF = frozenset({ServedBy.GRAPHQL, ServedBy.REST})
_LAST_RESORTS = frozenset({ServedBy.STALE, ServedBy.DEFAULT})


class Health(enum.StrEnum):
    """An upstream's health, from its circuits."""

    HEALTHY = "healthy"
    """Every circuit is closed."""
    DEGRADED = "degraded"
    """A circuit is not closed, and there is another way."""
    UNHEALTHY = "unhealthy"
    """No circuit is closed: answers are stale ones, or errors."""


@dataclass(slots=True)
class ServedFigures:
    """Calls since the start, by how they were answered."""

    counts: dict[ServedBy, int] = field(default_factory=lambda: dict.fromkeys(ServedBy, 0))
    failed: int = 0
    oldest_stale_s: float | None = None
    """Age of the oldest answer served stale since the upstream last answered by itself; None when it has."""


@dataclass(frozen=True, slots=True)
class RetryStatus:
    """The attempts of one service since the start.

    Attributes:
        calls: first attempts; a call that is taken from GraphQL to REST is one of each.
        attempts: with retries and hedges.
        refused: retries and hedges that the budget did not pay for.
        balance: retries that the budget would pay for now; None without a budget.
    """

    calls: int
    attempts: int
    retries: int
    hedges: int
    hedges_won: int
    waited_s: float
    refused: int
    balance: float | None


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """An upstream, read as data. Times are monotonic seconds."""

    name: str
    health: Health
    since: float
    circuits: Mapping[ProtocolName, CircuitStatus]
    cache: CacheFigures
    served: ServedFigures
    retries: RetryStatus


@dataclass(frozen=True, slots=True)
class UpstreamFigures:
    """What became of everything that was asked of an upstream.

    Attributes:
        calls: whole calls, however they were answered: retries, the other protocol and kept answers included.
        attempts: what was sent, by protocol.
        since: when counting began, in monotonic seconds.
        time_in: seconds spent in each health; one that it was never in is missing.
    """

    calls: CallFigures
    attempts: Mapping[ProtocolName, TrafficFigures]
    since: float
    time_in: Mapping[Health, float]


class Upstream:
    """A service that can be called. An async context manager; leaving it ends everything still in flight.

    Args:
        service: where it is and how patient to be.
        wire: sends bytes; owned by the caller, and best this service's alone.
        store: keeps answers; owned by the caller, and shared among upstreams.
        beyond: ways that are tried when no protocol of the service answers, such as another service.
        hooks: is told of attempts, circuits and answers.
        clock: all time comes from it.
        random: all jitter comes from it.
    """

    def __init__(
        self,
        service: Service,
        wire: Wire,
        store: Store,
        *,
        beyond: Sequence[Way] = (),
        hooks: Hooks | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self.service = service
        self._clock = clock or SystemClock()
        self._hooks = hooks or NoHooks()
        self._hooks_want_successes = self._hooks.wants_successes
        random = random or Random()
        self._exchanges = {
            exchange.protocol: exchange(service, wire, self._clock)
            for exchange, url in ((GraphQLExchange, service.graphql), (RestExchange, service.rest))
            if url is not None
        }
        self._circuits = {protocol: self._circuit(protocol, random) for protocol in self._exchanges}
        keys = CacheKeys(service)
        self._cache = StaleCache(service.policy.cache, keys, store, self._clock, random)
        self._flights = SingleFlight(service.name, keys, self._clock)
        now = self._clock.now()
        self._figures = ServedFigures()
        self._calls = CallTraffic(now)
        self._attempts = {protocol: Traffic(now) for protocol in self._exchanges}
        self._since = now
        self._time_in = TimeIn(Health.HEALTHY, now)
        policy = service.policy
        self._budget = RetryBudget(policy.retry.budget, now=now)
        self._retries = RetryFigures()
        self._defaults = Defaults(service)
        self._every_way = Fallback(service, beyond)
        self._handle = assemble(
            service,
            cache=self._cache,
            flights=self._flights,
            retries={
                protocol: Retry(
                    policy.retry,
                    protocol,
                    budget=self._budget,
                    figures=self._retries,
                    hooks=self._hooks,
                    clock=self._clock,
                    random=random,
                )
                for protocol in self._exchanges
            },
            hedge=Hedge(policy.hedge, budget=self._budget, figures=self._retries, clock=self._clock)
            if policy.hedge is not None
            else None,
            circuits=self._circuits,
            exchanges=self._exchanges,
            attempts=self._attempts,
            fallback=self._every_way,
            hooks=self._hooks,
            clock=self._clock,
        )

    @property
    def name(self) -> str:
        """The service's name in gateway.yaml."""
        return self.service.name

    @property
    def caches(self) -> bool:
        """Whether answers are kept at all."""
        cache = self.service.policy.cache
        return cache.max_age_s > 0 or cache.stale_if_error_s > 0

    async def execute(self, call: Call) -> Answer:
        """Answer a call, from the upstream or in its place; the answer says how.

        May be cancelled at any time; nothing stays behind.

        Raises:
            UpstreamError: there is no answer to give.
        """
        calls = self._calls
        began = self._clock.now()
        calls.begun += 1
        try:
            answer = await self._handle(call)
            if call.keys is not None:
                answer = self._defaults.for_rows(call, answer)
        except UpstreamError as error:
            default = self._defaults.instead(call, error)
            if default is None:
                self._tell_failed(call, error, began)
                raise
            answer = default
        finally:
            calls.ended += 1
        self._tell_served(call, answer, began)
        return answer

    async def stand_in(self, call: Call) -> Answer:
        """Answer a call of another service from the upstream, with this one's retries, circuits and alternatives.

        What is kept, and what is served when there is no answer, is the business of the service that was asked.

        Raises:
            UpstreamError: there is no answer.
        """
        calls = self._calls
        began = self._clock.now()
        calls.begun += 1
        try:
            answer = await self._every_way(call)
        except UpstreamError as error:
            self._tell_failed(call, error, began)
            raise
        finally:
            calls.ended += 1
        self._tell_served(call, answer, began)
        return answer

    def status(self) -> UpstreamStatus:
        """The upstream as it is now."""
        now = self._clock.now()
        circuits = {protocol: circuit.status(now) for protocol, circuit in self._circuits.items()}
        health = _health(circuits.values())
        since = max(status.since for status in circuits.values())
        return UpstreamStatus(
            self.name, health, since, circuits, self._cache.figures, self._figures, self._retry_status(now)
        )

    def figures(self) -> UpstreamFigures:
        """What became of its calls and attempts; adding it up takes most of a millisecond, so not for every request."""
        now = self._clock.now()
        attempts = {protocol: traffic.read(now) for protocol, traffic in self._attempts.items()}
        return UpstreamFigures(self._calls.read_calls(now), attempts, self._since, self._time_in.read(now))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._flights.aclose()

    def _circuit(self, protocol: ProtocolName, random: Random) -> Circuit:
        def tell(transition: Transition) -> None:
            self._hooks.on_circuit(
                CircuitEvent(self.name, protocol, transition.previous, transition.state, transition.reason)
            )
            now = self._clock.now()
            self._time_in.enter(_health([circuit.status(now) for circuit in self._circuits.values()]), now)

        return Circuit(self.service.policy.breaker, now=self._clock.now(), random=random, on_transition=tell)

    def _retry_status(self, now: float) -> RetryStatus:
        budget, made = self._budget.status(now), self._retries
        return RetryStatus(
            calls=budget.offered,
            attempts=budget.offered + made.retries + made.hedges,
            retries=made.retries,
            hedges=made.hedges,
            hedges_won=made.hedges_won,
            waited_s=made.waited_s,
            refused=budget.refused,
            balance=budget.balance,
        )

    def _tell_failed(self, call: Call, error: UpstreamError, began: float) -> None:
        now = self._clock.now()
        self._figures.failed += 1
        self._calls.note_failure(call, error, now - began, now)
        self._hooks.on_served(ServedEvent(call, None, error.code))

    def _tell_served(self, call: Call, answer: Answer, began: float) -> None:
        """Count an answer by its worst row: one stale row makes it a stale answer, and one default value a default."""
        figures = self._figures
        worst = answer.served
        if answer.served_rows:
            resorts = [served for served in answer.served_rows.values() if served.by in _LAST_RESORTS]
            if resorts:
                worst = max(resorts, key=lambda s: (s.by is ServedBy.DEFAULT, s.age_s or 0.0))
        if worst.by is ServedBy.STALE:
            figures.oldest_stale_s = max(figures.oldest_stale_s or 0.0, worst.age_s or 0.0)
        elif worst.by in _BY_ITSELF:
            figures.oldest_stale_s = None
        figures.counts[worst.by] += 1
        now = self._clock.now()
        self._calls.note_answer(call, now - began, now, stale=worst.by is ServedBy.STALE)
        if self._hooks_want_successes or worst.reason is not None or worst.by is ServedBy.STALE:
            self._hooks.on_served(ServedEvent(call, worst))


def _health(circuits: Iterable[CircuitStatus]) -> Health:
    closed = [status.state is State.CLOSED for status in circuits]
    return Health.HEALTHY if all(closed) else Health.DEGRADED if any(closed) else Health.UNHEALTHY
