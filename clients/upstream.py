"""One upstream service: its pipeline, its circuits, and what is to be known about it."""

from collections.abc import Callable, Coroutine, Sequence
from random import Random
from types import TracebackType
from typing import Any, Self

from clients.call import Answer, Call, ProtocolName, ServedBy
from clients.clock import Clock, SystemClock
from clients.endpoints import Connect, Endpoints, Lookup, system_lookup
from clients.errors import UpstreamError
from clients.figures import CallTraffic, TimeIn, Traffic
from clients.health import Health, judge
from clients.health_checks import Checked, HealthChecks
from clients.hooks import CircuitEvent, EndpointEvent, Hooks, NoHooks, ServedEvent
from clients.pipeline import assemble
from clients.protocols.graphql import GraphQLExchange
from clients.protocols.rest import RestExchange
from clients.series import Counts, Series, Slot
from clients.service import Service
from clients.stages.breaker import all_refuse
from clients.stages.cache_key import CacheKeys
from clients.stages.concurrency import Concurrency
from clients.stages.fallback import Defaults, Fallback, Way
from clients.stages.hedge import Hedge
from clients.stages.rate_limit import RateLimit, SharedTokens
from clients.stages.retry import Retry, RetryFigures
from clients.stages.single_flight import SingleFlight
from clients.stages.stale_cache import StaleCache
from clients.state.circuit import Circuit, CircuitStatus, Mode, State, Transition
from clients.state.circuits import Circuits, NoSuchCircuit
from clients.state.retry_budget import RetryBudget
from clients.stores.base import Store
from clients.tracing import recorded_fetch
from clients.transports.base import Wire
from clients.upstream_status import RetryStatus, ServedFigures, UpstreamFigures, UpstreamStatus

_BY_ITSELF = frozenset({ServedBy.GRAPHQL, ServedBy.REST})
_LAST_RESORTS = frozenset({ServedBy.STALE, ServedBy.DEFAULT})


class Upstream:
    """A service that can be called. An async context manager; leaving it ends everything still in flight.

    Who does not enter it calls `start`, which begins what it does by itself: health checks, and looking up endpoints.

    Args:
        service: where it is and how patient to be.
        wire: sends bytes; owned by the caller, and best this service's alone.
        store: keeps answers; owned by the caller, and shared among upstreams.
        beyond: ways that are tried when no protocol of the service answers, such as another service.
        hooks: is told of attempts, circuits and answers.
        clock: all time comes from it.
        random: all jitter comes from it.
        connect: makes wires to single addresses, for services whose endpoints are looked up.
        lookup: looks their hosts up.
        tokens: where the tokens of a shared `rate` come from; owned by the caller. None counts in this process.
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
        connect: Connect | None = None,
        lookup: Lookup = system_lookup,
        tokens: SharedTokens | None = None,
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
        self._circuits = {protocol: self._make_circuits(protocol, random) for protocol in self._exchanges}
        self._endpoints = self._open_endpoints(connect, lookup, random)
        balancers = self._endpoints.balancers if self._endpoints is not None else {}
        self._checks = HealthChecks(
            service,
            service.policy.health,
            wire,
            balancers,
            hooks=_EndpointHooks(self._hooks, self._note_health),
            clock=self._clock,
            random=random,
        )
        keys = CacheKeys(service)
        refused = all_refuse(self._circuits.values(), self._clock)
        self._flights = SingleFlight(service.name, keys, self._clock, refused=refused)
        self._cache = StaleCache(service, store, self._flights, keys=keys, clock=self._clock, random=random)
        now = self._clock.now()
        policy = service.policy
        self._concurrency = Concurrency(
            service.name,
            limit=policy.concurrency.limit or policy.max_connections,
            queue=policy.concurrency.queue,
            wait_s=policy.concurrency.wait_s,
            clock=self._clock,
        )
        self._rate = None if policy.rate is None else RateLimit(service.name, policy.rate, self._clock, tokens)
        self._figures = ServedFigures()
        self._calls = CallTraffic(now)
        self._attempts = {protocol: Traffic(now) for protocol in self._exchanges}
        self._series = Series(now)
        self._since = now
        self._time_in = TimeIn(Health.HEALTHY, now)
        self._budgets = {protocol: RetryBudget(policy.retry.budget, now=now) for protocol in self._exchanges}
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
                    budget=self._budgets[protocol],
                    figures=self._retries,
                    hooks=self._hooks,
                    clock=self._clock,
                    random=random,
                )
                for protocol in self._exchanges
            },
            hedges={
                protocol: Hedge(policy.hedge, budget=budget, figures=self._retries, clock=self._clock)
                for protocol, budget in self._budgets.items()
                if policy.hedge is not None
            },
            circuits=self._circuits,
            limits=[self._concurrency] if self._rate is None else [self._rate, self._concurrency],
            exchanges=self._exchanges,
            attempts=self._attempts,
            fallback=self._every_way,
            balancers=balancers,
            hooks=self._hooks,
            clock=self._clock,
        )

    @property
    def name(self) -> str:
        """The service's name in gateway.yaml."""
        return self.service.name

    def execute(self, call: Call) -> Coroutine[Any, Any, Answer]:
        """Answer a call, from the upstream or in its place; the answer says how.

        May be cancelled at any time; nothing stays behind.

        Raises:
            UpstreamError: there is no answer to give.
        """
        span = call.caller.span
        if span is None:
            return self._execute(call)
        return recorded_fetch(span, call, self._execute, keeps=self.service.policy.cache.keeps)

    async def _execute(self, call: Call) -> Answer:
        calls = self._calls
        began = self._clock.now()
        calls.begun += 1
        if call.keys is not None:
            calls.batches.add(len(call.keys))
        try:
            answer = await self._handle(call)
            if call.keys is not None:
                answer = self._defaults.for_rows(call, answer)
        except UpstreamError as error:
            default = self._defaults.instead(call, error)
            if default is None:
                duration_s = self._tell_failed(call, error, began)
                call.caller.tally.note(self.name, call.operation.name, None, duration_s)
                raise
            answer = default
        finally:
            calls.ended += 1
        by, duration_s = self._tell_served(call, answer, began)
        call.caller.tally.note(self.name, call.operation.name, by, duration_s)
        return answer

    def stand_in(self, call: Call) -> Coroutine[Any, Any, Answer]:
        """Answer a call of another service from the upstream, with this one's retries, circuits and alternatives.

        What is kept, and what is served when there is no answer, is the business of the service that was asked.

        Raises:
            UpstreamError: there is no answer.
        """
        span = call.caller.span
        return self._stand_in(call) if span is None else recorded_fetch(span, call, self._stand_in, keeps=False)

    async def _stand_in(self, call: Call) -> Answer:
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
        found = {protocol: circuits.status(now) for protocol, circuits in self._circuits.items()}
        each = [status for statuses in found.values() for status in statuses.values()]
        endpoints = self._endpoints.status(now) if self._endpoints is not None else {}
        checks = self._checks.status()
        health, reason = judge(found, endpoints, checks)
        changes = [circuit.since for circuit in each] + [check.since for check in checks]
        changes += [endpoint.since for each in endpoints.values() for endpoint in each]
        return UpstreamStatus(
            name=self.name,
            health=health,
            reason=reason,
            since=max(changes, default=self._since),
            circuits={p: max(statuses.values(), key=_trouble) for p, statuses in found.items() if statuses},
            by_operation={
                (protocol, name): status
                for protocol, statuses in found.items()
                for name, status in statuses.items()
                if name is not None
            },
            cache=self._cache.figures,
            served=self._figures,
            retries=self._retry_status(now),
            endpoints=endpoints,
            discovery=self._endpoints.discovery if self._endpoints is not None else None,
            checks=checks,
            concurrency=self._concurrency.status(),
            rate=None if self._rate is None else self._rate.status(),
        )

    def figures(self, *, window: bool = True) -> UpstreamFigures:
        """What became of its calls and attempts; adding it up takes most of a millisecond, so not for every request.

        Without `window` it has the figures since the start only, for a tenth of that.
        """
        now = self._clock.now()
        attempts = {protocol: traffic.read(now, window=window) for protocol, traffic in self._attempts.items()}
        calls = self._calls.read_calls(now, window=window)
        return UpstreamFigures(calls, attempts, self._since, self._time_in.read(now))

    def mark(self) -> None:
        """End a slot of `recent`; whoever wants such slots calls this every `clients.series.SLOT_S` seconds."""
        now = self._clock.now()
        self._series.mark(self._counts(now), now)

    def recent(self) -> tuple[Slot, ...]:
        """The last quarter of an hour, oldest first; their `ways` are those of `ServedBy`, in its order."""
        now = self._clock.now()
        return self._series.read(self._counts(now), now)

    async def ping(self) -> tuple[Checked, ...]:
        """Check its health once, now: GraphQL, and REST when `health.path` says what to ask for, at every endpoint.

        No retry, cache or circuit takes part. Where there are health checks, it counts as one of them.
        """
        return await self._checks.check()

    def start(self) -> None:
        """Begin what it does by itself; entering does that, too."""
        if self._endpoints is not None:
            self._endpoints.start()
        self._checks.start()

    async def checked(self) -> None:
        """Wait until its health was checked once, where it is; bounded by the policy's timeout."""
        await self._checks.checked()

    def force_circuit(
        self,
        mode: Mode,
        *,
        by: str,
        reason: str | None = None,
        protocol: ProtocolName | None = None,
        operation: str | None = None,
    ) -> None:
        """Let an operator decide in place of the circuit, or give it back to itself (`Mode.AUTOMATIC`).

        Args:
            mode: what it is to do with calls.
            by: who wants it so; clients of a circuit that is forced open are told.
            reason: why, likewise.
            protocol: whose circuit; all when None.
            operation: where each operation has a circuit: whose; all, and all yet to come, when None.

        Raises:
            NoSuchCircuit: there is none for this protocol, or none for this operation.
        """
        for circuits in self._meant(protocol, operation):
            circuits.set_mode(mode, self._clock.now(), by=by, reason=reason, operation=operation)

    def reset_circuit(
        self,
        *,
        by: str,
        reason: str | None = None,
        protocol: ProtocolName | None = None,
        operation: str | None = None,
    ) -> None:
        """Close a circuit, forget what it has counted, and let it decide by itself; see `force_circuit`.

        Raises:
            NoSuchCircuit: there is none for this protocol, or none for this operation.
        """
        for circuits in self._meant(protocol, operation):
            circuits.reset(self._clock.now(), by=by, reason=reason, operation=operation)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._checks.aclose()
        await self._flights.aclose()
        if self._endpoints is not None:
            await self._endpoints.aclose()

    def _open_endpoints(self, connect: Connect | None, lookup: Lookup, random: Random) -> Endpoints | None:
        policy = self.service.endpoints
        if policy is None:
            return None
        if policy.dns_every_s is not None and connect is None:
            raise TypeError(f"{self.name}: endpoints that are looked up need `connect`")
        return Endpoints(
            self.service,
            policy,
            connect=connect,
            hooks=_EndpointHooks(self._hooks, self._note_health),
            clock=self._clock,
            random=random,
            lookup=lookup,
        )

    def _make_circuits(self, protocol: ProtocolName, random: Random) -> Circuits:
        policy = self.service.policy.breaker

        def make(operation: str | None) -> Circuit:
            def tell(moved: Transition) -> None:
                self._cache.circuit_moved()
                self._hooks.on_circuit(
                    CircuitEvent(self.name, protocol, moved.previous, moved.state, moved.reason, operation, moved.mode)
                )
                self._note_health()

            return Circuit(policy, now=self._clock.now(), random=random, on_transition=tell)

        return Circuits(make, by_operation=policy.scope == "operation")

    def _meant(self, protocol: ProtocolName | None, operation: str | None) -> list[Circuits]:
        """The circuits an operator names; nothing is done to any before all are known to be there."""
        if protocol is not None and protocol not in self._circuits:
            raise NoSuchCircuit(f"{self.name}: is not spoken to by {protocol}; it is by {', '.join(self._circuits)}")
        if operation is not None and self.service.policy.breaker.scope == "service":
            raise NoSuchCircuit(
                f"{self.name}: has one circuit for all operations, and none for {operation}; name no operation, or set "
                "breaker.scope: operation"
            )
        return list(self._circuits.values()) if protocol is None else [self._circuits[protocol]]

    def _note_health(self) -> None:
        self._time_in.enter(self.status().health, self._clock.now())

    def _counts(self, now: float) -> Counts:
        traffic, served = self._calls.read(now, window=False), self._figures.counts
        return Counts(
            traffic.succeeded + traffic.failed,
            traffic.failed,
            served[ServedBy.STALE],
            traffic.durations.counts,
            tuple(served.values()),
        )

    def _retry_status(self, now: float) -> RetryStatus:
        budgets, made = [budget.status(now) for budget in self._budgets.values()], self._retries
        calls = sum(budget.offered for budget in budgets)
        balances = [budget.balance for budget in budgets if budget.balance is not None]
        return RetryStatus(
            calls=calls,
            attempts=calls + made.retries + made.hedges,
            retries=made.retries,
            hedges=made.hedges,
            hedges_won=made.hedges_won,
            waited_s=made.waited_s,
            refused=sum(budget.refused for budget in budgets),
            balance=sum(balances) if balances else None,
        )

    def _tell_failed(self, call: Call, error: UpstreamError, began: float) -> float:
        """Count a failure; gives the seconds it took."""
        now = self._clock.now()
        self._figures.failed += 1
        self._calls.note_failure(call, error, now - began, now)
        self._hooks.on_served(ServedEvent(call, None, error.code))
        return now - began

    def _tell_served(self, call: Call, answer: Answer, began: float) -> tuple[ServedBy, float]:
        """Count an answer by its worst row: one stale row makes it a stale answer, and one default value a default.

        Gives that, and the seconds it took.
        """
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
        return worst.by, now - began


class _EndpointHooks(NoHooks):
    """Tells somebody's hooks of endpoints, and the upstream that its health may have changed."""

    def __init__(self, hooks: Hooks, changed: Callable[[], None]) -> None:
        self._hooks = hooks
        self._changed = changed

    def on_endpoint(self, event: EndpointEvent) -> None:
        self._hooks.on_endpoint(event)
        self._changed()


_WORST = (State.CLOSED, State.HALF_OPEN, State.OPEN)


def _trouble(status: CircuitStatus) -> tuple[int, int]:
    return _WORST.index(status.state), status.consecutive_failures
