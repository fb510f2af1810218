"""The schema explains itself: whoever reads it in GraphiQL finds a word about everything."""

from graphql import GraphQLEnumType, GraphQLObjectType

from schema.build import build_schema, core_schema


def test_every_type_field_and_enum_value_has_a_description() -> None:
    schema = core_schema(build_schema(["schema.customers", "schema.invoices"]))
    silent = []
    for name, kind in schema.type_map.items():
        if name.startswith("__"):
            continue
        if isinstance(kind, GraphQLObjectType):
            silent += [f"{name}.{field}" for field, it in kind.fields.items() if not it.description]
        if isinstance(kind, GraphQLEnumType):
            silent += [f"{name}.{value}" for value, it in kind.values.items() if not it.description]
        if isinstance(kind, GraphQLObjectType | GraphQLEnumType) and not kind.description:
            silent.append(name)
    assert sorted(silent) == ["Mutation", "Query", "Subscription"]


def test_counts_since_the_start_may_outgrow_an_int() -> None:
    schema = core_schema(build_schema())
    ints = {
        f"{name}.{field}"
        for name, kind in schema.type_map.items()
        if isinstance(kind, GraphQLObjectType) and not name.startswith("__")
        for field, it in kind.fields.items()
        if str(it.type).rstrip("!") == "Int"
    }
    assert ints == {
        "CachePurge.memoryEntries",
        "CircuitChange.missed",
        "CircuitWindow.calls",
        "CircuitWindow.failed",
        "CircuitWindow.maxCalls",
        "CircuitWindow.slow",
        "ConcurrencyLimit.inFlight",
        "ConcurrencyLimit.limit",
        "ConcurrencyLimit.queued",
        "FleetCircuit.closed",
        "FleetCircuit.halfOpen",
        "FleetCircuit.open",
        "GatewayBuild.pid",
        "GatewayBuild.workers",
        "GatewayInstance.circuitsLeftOut",
        "GatewayInstance.inFlight",
        "GatewayInstance.pid",
        "Load.inFlight",
        "Load.limit",
        "RateLimit.capacity",
        "RateLimit.waiting",
        "Upstream.inFlight",
        "UpstreamAttempts.inFlight",
        "UpstreamEndpoint.outstanding",
        "UpstreamEndpoint.weight",
        "UpstreamLatency.count",
        "UpstreamSlot.calls",
        "UpstreamSlot.failed",
        "UpstreamSlot.stale",
    }
