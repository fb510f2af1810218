"""What operators ask of a running gateway, and have it do; what acts is written to the log.

Satisfies `schema.operations.Operations`.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from clients.call import Caller, ProtocolName
from clients.stages.cache_key import key_prefix as key_prefix_of
from clients.state.circuit import Mode
from clients.state.circuits import NoSuchCircuit
from clients.upstream import Upstream
from gateway.fleet.messages import VERSION, Command, digest_of
from gateway.ops.hot_plans import hot_plans
from schema.operations import (
    Acted,
    BuildFacts,
    CircuitBrief,
    CircuitTarget,
    FleetFacts,
    PlanFacts,
    ProcessFacts,
    Purged,
    Refused,
    Reloaded,
    SupergraphFacts,
)

if TYPE_CHECKING:
    from gateway.runtime import Runtime

_MOST_REASON = 500
_MOST_NAMED = 20
_PURGE_S = 10.0  # a look at all keys of a large Redis takes seconds


class RuntimeOperations:
    """What operators may ask of one runtime, and have it do.

    Args:
        runtime: that serves.
        declared: by service, the operations of this process's schema.
        config_hash: of its configuration.
    """

    def __init__(self, runtime: "Runtime", declared: Mapping[str, frozenset[str]], config_hash: str) -> None:
        self._runtime = runtime
        self._declared = declared
        self._config_hash = config_hash
        self._log = structlog.get_logger("operators")

    def build(self) -> BuildFacts:
        """See `Operations`."""
        runtime, process = self._runtime, self._runtime.process
        supergraph = self.supergraph()
        return BuildFacts(
            version=process.version,
            python_version=process.python_version,
            config_hash=self._config_hash,
            supergraph_hash=None if supergraph is None else supergraph.digest,
            started_at=runtime.started_at,
            uptime_s=(runtime.clock.wall() - runtime.started_at).total_seconds(),
            workers=process.workers,
            instance=process.instance,
            host=process.host,
            pid=process.pid,
        )

    def supergraph(self) -> SupergraphFacts | None:
        """See `Operations`."""
        served = self._runtime.supergraph
        if served is None:
            return None
        status = served.status
        age_s = (self._runtime.clock.wall() - status.loaded_at).total_seconds()
        return SupergraphFacts(status.origin, status.digest, status.loaded_at, age_s, status.trouble)

    def process(self) -> ProcessFacts:
        """See `Operations`."""
        process = self._runtime.process
        return ProcessFacts(process.memory_bytes(), process.peak_memory_bytes(), process.lag_s, process.max_lag_s)

    def plans(self, first: int, *, by_time: bool) -> list[PlanFacts]:
        """See `Operations`."""
        return hot_plans(self._runtime.executor.current().documents, first, by_time=by_time)

    async def fleet(self) -> FleetFacts:
        """See `Operations`."""
        own = digest_of(self._runtime, self._runtime.clock.wall()).facts()
        others = await self._runtime.fleet.others()
        found = sorted((each.facts() for each in others.digests), key=lambda each: (each.host, each.pid, each.instance))
        return FleetFacts(others.shared, others.reason, [own, *found])

    async def force_circuit(self, caller: Caller, target: CircuitTarget, mode: Mode) -> Acted:
        """See `Operations`.

        Raises:
            Refused: there is no such circuit.
        """
        return await self._act(self._command(caller, "force", target, mode=mode))

    async def reset_circuit(self, caller: Caller, target: CircuitTarget) -> Acted:
        """See `Operations`.

        Raises:
            Refused: there is no such circuit.
        """
        return await self._act(self._command(caller, "reset", target))

    async def purge_cache(self, caller: Caller, service: str, key_prefix: str) -> Purged:
        """See `Operations`.

        Raises:
            Refused: there is no such service.
        """
        self._upstream(service)
        command = self._command(caller, "purge", CircuitTarget(service, None, None, None), key_prefix=key_prefix)
        redis, trouble = await self._purge_redis(service, key_prefix)
        memory = self._runtime.memory.purge(key_prefix_of(service, key_prefix))  # second: it is filled from Redis
        told = await self._runtime.fleet.command(command)
        self._log.warning(
            "cache purged by an operator",
            **_audited(command),
            instance=command.origin,
            key_prefix=key_prefix or None,
            memory_entries=memory,
            redis_entries=redis,
            told=told,
        )
        return Purged(command.origin, memory, redis, told, trouble)

    async def reload_supergraph(self, caller: Caller) -> Reloaded:
        """See `Operations`.

        Raises:
            Refused: none is served.
        """
        served = self._runtime.supergraph
        if served is None:
            raise Refused("There is no supergraph to reload: gateway.yaml has no `federation:`.")
        before = served.status.digest
        changed = await served.reload()
        status = served.status
        self._log.warning(
            "supergraph reloaded by an operator",
            by=_who(caller),
            request_id=caller.request_id,
            instance=self._runtime.process.instance,
            before=before,
            after=status.digest,
            error=status.trouble or None,
        )
        return Reloaded(self._runtime.process.instance, changed, before, status.digest, status.trouble)

    async def obey(self, command: Command) -> None:
        """Do what another instance was commanded. What this one does not know, it leaves alone."""
        if command.service not in self._runtime.upstreams:
            return
        if command.kind == "purge":
            memory = self._runtime.memory.purge(key_prefix_of(command.service, command.key_prefix))
            audited = {**_audited(command), "key_prefix": command.key_prefix or None, "memory_entries": memory}
            self._log.warning("cache purged by an operator", **audited, instance=self._runtime.process.instance)
            return
        try:
            self._do(command)
        except NoSuchCircuit:
            return

    async def _act(self, command: Command) -> Acted:
        upstream = self._upstream(command.service)
        self._check_operation(upstream, command.protocol, command.operation)
        try:
            before = self._do(command)
        except NoSuchCircuit as error:
            raise Refused(f"{error}.") from error
        told = await self._runtime.fleet.command(command)
        return Acted(command.origin, before, told)

    def _do(self, command: Command) -> list[CircuitBrief]:
        """Do it here, and write it to the log; gives the circuits as they were.

        Raises:
            NoSuchCircuit: there is none.
        """
        upstream = self._runtime.upstreams[command.service]
        named: dict[str, Any] = {
            "by": command.by,
            "reason": command.reason,
            "protocol": command.protocol,
            "operation": command.operation,
        }
        before = _briefs(upstream, command)
        if command.kind == "force":
            upstream.force_circuit(command.mode, **named)
        else:
            upstream.reset_circuit(**named)
        after = _briefs(upstream, command)
        forced = command.kind == "force"
        self._log.warning(
            "circuit forced by an operator" if forced else "circuit reset by an operator",
            **_audited(command),
            **({"mode": command.mode} if forced else {}),
            instance=self._runtime.process.instance,
            protocol=command.protocol,
            operation=command.operation,
            before=_texts(before),
            after=_texts(after),
        )
        return before

    def _command(self, caller: Caller, kind: Any, target: CircuitTarget, **more: Any) -> Command:
        if target.reason is not None and len(target.reason) > _MOST_REASON:
            raise Refused(f"The reason is longer than {_MOST_REASON} characters.")
        return Command(
            version=VERSION,
            origin=self._runtime.process.instance,
            kind=kind,
            service=target.service,
            by=_who(caller),
            request_id=caller.request_id,
            reason=target.reason or None,
            protocol=target.protocol,
            operation=target.operation,
            **more,
        )

    def _upstream(self, service: str) -> Upstream:
        upstreams = self._runtime.upstreams
        if service not in upstreams:
            raise Refused(f"There is no service {service[:100]!r}; there are: {_list(upstreams)}.")
        return upstreams[service]

    def _check_operation(self, upstream: Upstream, protocol: ProtocolName | None, operation: str | None) -> None:
        """Refuse operations that nobody knows: a slip would make a circuit that no call ever asks."""
        if operation is None or upstream.service.policy.breaker.scope == "service":
            return
        called = {name for of, name in upstream.status().by_operation if protocol in (None, of)}
        known = called | self._declared.get(upstream.name, frozenset())
        if operation not in known:
            there = _list(sorted(known))
            raise Refused(f"{upstream.name}: no operation {operation[:100]!r} is known here; there are: {there}.")

    async def _purge_redis(self, service: str, key_prefix: str) -> tuple[int | None, str]:
        redis = self._runtime.redis
        if redis is None:
            return None, ""
        found = None
        try:
            async with asyncio.timeout(_PURGE_S):
                found = await redis.purge(key_prefix_of(service, key_prefix))
        except TimeoutError:
            pass
        return found, "" if found is not None else "Redis did not answer to the end; some entries may still be there"


def _who(caller: Caller) -> str:
    if caller.user is not None:
        return f"{caller.user} (admin token)" if caller.admin else caller.user
    return "the admin token" if caller.admin else "an operator"


def _audited(command: Command) -> dict[str, Any]:
    return {
        "service": command.service,
        "by": command.by,
        "reason": command.reason,
        "request_id": command.request_id,
        "origin": command.origin,
    }


def _briefs(upstream: Upstream, command: Command) -> list[CircuitBrief]:
    """The circuits that are meant, as they are now."""
    target = CircuitTarget(command.service, command.protocol, command.operation, command.reason)
    status = upstream.status()
    of_all = {(protocol, None): circuit for protocol, circuit in status.circuits.items()}
    return [
        CircuitBrief(upstream.name, protocol, operation, circuit.state, circuit.mode)
        for (protocol, operation), circuit in (status.by_operation or of_all).items()
        if target.means(protocol, operation)
    ]


def _texts(circuits: Sequence[CircuitBrief]) -> list[str]:
    """Each in a few words, for the log."""
    return [
        f"{each.protocol}{f' {each.operation}' if each.operation else ''}: {each.state}, {each.mode}"
        for each in circuits[:_MOST_NAMED]
    ]


def _list(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return (", ".join(found[:_MOST_NAMED]) or "none") + more
