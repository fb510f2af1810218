"""Active health checks: each protocol of a service, at each of its endpoints, is asked now and then.

They go straight to the wire: no cache, no retry, no circuit. What they find decides which endpoints get calls and what
is said of the upstream's health; circuits listen to real calls only.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import msgspec

from clients.call import ProtocolName
from clients.clock import Clock
from clients.endpoint import Endpoint, origin_of
from clients.hooks import EndpointEvent, Hooks
from clients.policy import HealthPolicy
from clients.service import Service
from clients.state.balancer import Balancer, EndpointState
from clients.transports.base import Wire, WireError

_JITTER = 0.1  # ± share of the interval, so that a fleet does not ask in step
_QUESTION = b'{"query":"{ __typename }"}'
_MAX_BODY_BYTES = 1_000_000
_GRAPHQL_HEADERS = {
    "content-type": "application/json",
    "accept": "application/graphql-response+json, application/json;q=0.9",
}


class _Root(msgspec.Struct):
    typename: str = msgspec.field(name="__typename")


class _Envelope(msgspec.Struct):
    data: _Root


_read = msgspec.json.Decoder(_Envelope).decode


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of one check.

    Attributes:
        endpoint: its name.
        at: monotonic seconds, when it ended.
        error: what was wrong, as a sentence part; None when it passed.
    """

    protocol: ProtocolName
    endpoint: str
    at: float
    duration_s: float
    error: str | None


@dataclass(frozen=True, slots=True)
class CheckStatus:
    """How the checks of one endpoint go.

    Attributes:
        passing: as decided by as many checks in a row as the policy wants; True until then.
        since: monotonic seconds.
    """

    passing: bool
    since: float
    last: Checked


@dataclass(slots=True)
class CheckRecord:
    """Counts checks in a row; `passing` turns after as many of the other kind as the policy wants."""

    since: float
    passing: bool = True
    against: int = 0
    last: Checked | None = None

    def count(self, checked: Checked, policy: HealthPolicy) -> bool:
        """Whether this one turned it."""
        self.last = checked
        if (checked.error is None) is self.passing:
            self.against = 0
            return False
        self.against += 1
        if self.against < (policy.failures if self.passing else policy.successes):
            return False
        self.passing, self.against, self.since = not self.passing, 0, checked.at
        return True


class HealthChecks:
    """Checks one service. At most one round of checks runs at a time.

    Args:
        policy: None makes no checks of its own accord; `check` can still be called, and nothing is remembered of it.
        balancers: of the protocols, where there are several endpoints; told which of these pass.
    """

    def __init__(
        self,
        service: Service,
        policy: HealthPolicy | None,
        wire: Wire,
        balancers: Mapping[ProtocolName, Balancer],
        *,
        hooks: Hooks,
        clock: Clock,
        random: Random,
    ) -> None:
        self._service = service
        self._policy = policy or HealthPolicy()
        self._remembers = policy is not None
        self._wire = wire
        self._balancers = balancers
        self._hooks = hooks
        self._clock = clock
        self._random = random
        self._began = clock.now()
        self._records: dict[tuple[ProtocolName, Endpoint], CheckRecord] = {}
        self._round = asyncio.Lock()
        self._first = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to check at intervals, where that is wanted."""
        if self._remembers and self._task is None:
            self._task = asyncio.create_task(self._keep_checking(), name="breakwater health checks")

    async def checked(self) -> None:
        """Wait until everything was checked once, whatever came of it; at once where there are no checks."""
        if self._task is not None:
            await self._first.wait()

    async def aclose(self) -> None:
        """Stop checking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def check(self) -> tuple[Checked, ...]:
        """Check everything once, now: each protocol that can be checked, at each endpoint.

        REST can be when the policy has a path. Never longer than the policy's timeout, but for a round under way.
        """
        async with self._round:
            targets = self._targets()
            self._records = {target: record for target, record in self._records.items() if target in targets}
            async with asyncio.TaskGroup() as tasks:
                asking = [tasks.create_task(self._check(*target)) for target in targets]
            return tuple(task.result() for task in asking)

    def status(self) -> tuple[CheckStatus, ...]:
        """How the checks go; empty before the first ones."""
        return tuple(CheckStatus(r.passing, r.since, r.last) for r in self._records.values() if r.last is not None)

    async def _keep_checking(self) -> None:
        while True:
            await self.check()
            self._first.set()
            await self._clock.sleep(self._policy.every_s * self._random.uniform(1 - _JITTER, 1 + _JITTER))

    def _targets(self) -> list[tuple[ProtocolName, Endpoint]]:
        found = []
        for protocol in ProtocolName:
            url = self._service.url(protocol)
            if url is None or (protocol is ProtocolName.REST and self._policy.path is None):
                continue
            balancer = self._balancers.get(protocol)
            endpoints: Sequence[Endpoint] = balancer.endpoints if balancer else (Endpoint(origin_of(url)),)
            found += [(protocol, endpoint) for endpoint in endpoints]
        return found

    async def _check(self, protocol: ProtocolName, endpoint: Endpoint) -> Checked:
        began = self._clock.now()
        try:
            async with self._clock.timeout(self._policy.timeout_s):
                error = await self._ask(protocol, endpoint)
        except TimeoutError:
            error = f"no answer within {self._policy.timeout_s:g} s"
        except WireError as failure:
            error = str(failure)
        except Exception as failure:  # noqa: BLE001 - an unforeseen one is a failed check, and must not end the checks
            error = f"the check failed unexpectedly ({type(failure).__name__})"
        now = self._clock.now()
        checked = Checked(protocol, endpoint.name, now, now - began, error)
        if self._remembers:
            self._remember(protocol, endpoint, checked)
        return checked

    async def _ask(self, protocol: ProtocolName, endpoint: Endpoint) -> str | None:
        """What is wrong with the answer. 429 is the upstream's word on rate, and no sign of ill health."""
        url = endpoint.url(*self._url(protocol))
        wire, headers = endpoint.wire or self._wire, self._service.headers
        if protocol is ProtocolName.GRAPHQL:
            headers = {**_GRAPHQL_HEADERS, **headers}
            response = await wire.send("POST", url, headers, _QUESTION, max_body_bytes=_MAX_BODY_BYTES)
        else:
            response = await wire.send("GET", url, headers, None, max_body_bytes=_MAX_BODY_BYTES)
        if response.status == 429:
            return None
        if not 200 <= response.status < 300:
            return f"answered {response.status}"
        if protocol is ProtocolName.GRAPHQL:
            try:
                _read(response.body)
            except msgspec.DecodeError:  # ValidationError is one
                return "its answer to { __typename } is not GraphQL's"
        return None

    def _url(self, protocol: ProtocolName) -> tuple[str, int]:
        """What is asked for, and the length of its origin."""
        url = self._service.url(protocol) or ""
        origin = origin_of(url)
        return (url if protocol is ProtocolName.GRAPHQL else origin + (self._policy.path or "")), len(origin)

    def _remember(self, protocol: ProtocolName, endpoint: Endpoint, checked: Checked) -> None:
        record = self._records.setdefault((protocol, endpoint), CheckRecord(self._began))
        if not record.count(checked, self._policy):
            return
        good, bad = EndpointState.HEALTHY, EndpointState.UNHEALTHY
        reason = "its health checks pass" if record.passing else f"its health checks fail ({checked.error})"
        balancer = self._balancers.get(protocol)
        if balancer is not None:
            balancer.mark(endpoint, checked.at, reason, passes=record.passing)
            return
        before, after = (bad, good) if record.passing else (good, bad)
        self._hooks.on_endpoint(EndpointEvent(self._service.name, protocol, endpoint.name, before, after, reason))
