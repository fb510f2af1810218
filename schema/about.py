"""What runs here, and what it is asked most: `build` and `plans`, for operators."""

import enum
from datetime import datetime

import strawberry
from graphql import GraphQLError

from schema.access import OperatorsOnly
from schema.context import GatewayContext
from schema.operations import PlanFacts
from schema.scalars import Long

_MOST_PLANS = 1_000


@strawberry.type(description="What runs: versions, configuration, supergraph and process.")
class GatewayBuild:
    """What runs."""

    version: str = strawberry.field(description="Of Breakwater.")
    python_version: str = strawberry.field(description="Of Python.")
    config_hash: str = strawberry.field(
        description="Of the configuration in effect, defaults and profiles included, secrets left out: instances with "
        "the same one are configured alike."
    )
    supergraph_hash: str | None = strawberry.field(
        description="Of the supergraph that is served; null where there is none."
    )
    started_at: datetime = strawberry.field(description="When this instance began to serve.")
    uptime_s: float = strawberry.field(description="Seconds since.")
    workers: int = strawberry.field(description="Processes that share its socket, as `--workers` says.")
    instance: str = strawberry.field(description="Names this process in `fleet` and in what it answers to mutations.")
    host: str = strawberry.field(description="The machine or container it runs in.")
    pid: int = strawberry.field(description="The process's number there.")


@strawberry.enum(description="What the first of the `plans` are.")
class PlanOrder(enum.Enum):
    """What the first of the plans are."""

    BY_COUNT = strawberry.enum_value("count", description="Those asked for most often.")
    BY_TIME = strawberry.enum_value("time", description="Those that took most time, all requests together.")


@strawberry.type(description="How long requests for an operation took, from the first step to the encoded answer.")
class PlanLatency:
    """How long requests for an operation took."""

    mean_ms: float = strawberry.field(description="The mean of all of them.")
    p95_ms: float = strawberry.field(description="Of the latest hundred, one in 20 took longer.")


@strawberry.type(
    description="An operation that clients ask for, while its document is kept; counted in this process since then."
)
class OperationPlan:
    """An operation that clients ask for."""

    name: str | None = strawberry.field(description="Its name; null for an anonymous one.")
    kind: str = strawberry.field(description="query or mutation.")
    hash: str = strawberry.field(description="SHA-256 of its document, as persisted queries name it.")
    count: Long = strawberry.field(description="Requests for it that were answered.")
    total_ms: float = strawberry.field(description="How long they took together.")
    latency: PlanLatency = strawberry.field(description="How long they took.")
    fetches: Long = strawberry.field(description="Calls to services on their behalf; kept answers count, too.")
    errors: Long = strawberry.field(description="Of these requests, how many had an error in their answer.")
    degraded: Long = strawberry.field(
        description="Of these requests, how many had a value that was not served as it should have been."
    )
    cache_hits: Long = strawberry.field(description="Of these requests, how many found it planned.")
    compiled: bool | None = strawberry.field(description="Whether it runs compiled; null when it never ran.")
    not_compiled: str | None = strawberry.field(description="Why it does not run compiled.")
    plan: str | None = strawberry.field(
        description="Its plan, for people to read, without the values in its document; null where there is none. Of a "
        "schema that is not federated: where its values come from."
    )


@strawberry.type
class Query:
    """Fields about this process."""

    @strawberry.field(
        description="What runs: versions, configuration, supergraph and process. For operators.",
        extensions=[OperatorsOnly()],
    )
    def build(self, info: strawberry.Info) -> GatewayBuild | None:
        """As it is now."""
        context: GatewayContext = info.context
        facts = context.state.operations.build()
        return GatewayBuild(
            version=facts.version,
            python_version=facts.python_version,
            config_hash=facts.config_hash,
            supergraph_hash=facts.supergraph_hash,
            started_at=facts.started_at,
            uptime_s=round(facts.uptime_s, 3),
            workers=facts.workers,
            instance=facts.instance,
            host=facts.host,
            pid=facts.pid,
        )

    @strawberry.field(
        description="The operations that this process is asked for most, or that keep it busy longest. For operators.",
        extensions=[OperatorsOnly()],
    )
    def plans(
        self, info: strawberry.Info, first: int = 20, order: PlanOrder = PlanOrder.BY_TIME
    ) -> list[OperationPlan] | None:
        """As they are now."""
        if not 1 <= first <= _MOST_PLANS:
            raise GraphQLError(
                f"first: expected 1 to {_MOST_PLANS}, found {first}.",
                extensions={"code": "BAD_USER_INPUT", "category": "validation"},
            )
        context: GatewayContext = info.context
        found = context.state.operations.plans(first, by_time=order is PlanOrder.BY_TIME)
        return [_plan(facts) for facts in found]


def _plan(facts: PlanFacts) -> OperationPlan:
    return OperationPlan(
        name=facts.name,
        kind=facts.kind,
        hash=facts.digest,
        count=Long(facts.count),
        total_ms=_ms(facts.total_s),
        latency=PlanLatency(mean_ms=_ms(facts.total_s / facts.count), p95_ms=_ms(facts.p95_s or 0.0)),
        fetches=Long(facts.fetches),
        errors=Long(facts.failed),
        degraded=Long(facts.degraded),
        cache_hits=Long(facts.cache_hits),
        compiled=facts.compiled,
        not_compiled=facts.not_compiled,
        plan=facts.plan,
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
