"""What operators ask and have done in GraphQL: build, plans, the process, circuits, the cache, the supergraph."""

import hashlib
import io
import json
import os
import platform
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.telemetry import logs
from tests.testkit.clock import ManualClock
from tests.testkit.federation import FederatedGateway, ScriptedSubgraph, federated_gateway, supergraph_of
from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.upstream import status

TOKEN = "correct-horse-battery"
ADMIN = {"x-admin-token": TOKEN}
QUERY = '{ customer(id: "1") { name } }'
FORCE = """
mutation Force(
  $service: String!, $mode: CircuitMode!, $protocol: UpstreamProtocol, $operation: String, $reason: String
) {
  forceCircuit(service: $service, mode: $mode, protocol: $protocol, operation: $operation, reason: $reason) {
    instance told service before { protocol operation state mode }
    circuits { protocol operation state mode reason modeChange { by reason } }
  }
}
"""
RESET = """
mutation Reset($service: String!, $protocol: UpstreamProtocol, $operation: String, $reason: String) {
  resetCircuit(service: $service, protocol: $protocol, operation: $operation, reason: $reason) {
    before { protocol state mode } circuits { protocol state mode reason }
  }
}
"""
PURGE = """
mutation Purge($service: String!, $keyPrefix: String! = "") {
  purgeCache(service: $service, keyPrefix: $keyPrefix) { instance told memoryEntries redisEntries error }
}
"""
RELOAD = "mutation { reloadSupergraph { instance changed previousHash hash error } }"
PLANS = """query Plans($first: Int = 20, $order: PlanOrder = BY_TIME) {
  plans(first: $first, order: $order) {
    name kind hash count totalMs latency { meanMs p95Ms } fetches errors degraded cacheHits compiled notCompiled plan
  }
}"""
BUILD = """{
  build { version pythonVersion configHash supergraphHash startedAt uptimeS workers instance host pid }
  health {
    process { memoryBytes peakMemoryBytes loopLagMs maxLoopLagMs }
    supergraph { source hash loadedAt ageS trouble }
  }
}"""
SDL = "type Query { a(n: Int, s: String): Int b: Int }"

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def audited() -> Iterator[Lines]:
    """The lines about what operators did, and all that was written."""
    stream = io.StringIO()
    logs.configure(json=True, level="info", stream=stream)

    def lines() -> list[dict[str, Any]]:
        assert TOKEN not in stream.getvalue()
        written = [json.loads(line) for line in stream.getvalue().splitlines()]
        return [line for line in written if line["event"].endswith("by an operator")]

    yield lines
    structlog.reset_defaults()


@asynccontextmanager
async def federated(**sections: Any) -> AsyncIterator[tuple[FederatedGateway, ScriptedSubgraph]]:
    a = ScriptedSubgraph.made(SDL, {"a": 1, "b": 2})
    async with a, federated_gateway({"a": a}, sections) as gateway:
        yield gateway, a


async def test_build_says_what_runs() -> None:
    clock = ManualClock()
    async with running_gateway(clock=clock) as gateway:
        await clock.advance(90)
        answered = await gateway.ask(BUILD)
        build, health = answered.data["build"], answered.data["health"]
        assert build["version"] == "0.1.0"
        assert (build["pythonVersion"], build["pid"]) == (platform.python_version(), os.getpid())
        assert (build["supergraphHash"], health["supergraph"]) == (None, None)
        assert (build["startedAt"], build["uptimeS"], build["workers"]) == ("2026-01-01T00:00:00+00:00", 90.0, 1)
        assert len(build["configHash"]) == 16
        assert len(build["instance"]) == 12
        process = health["process"]
        assert 10_000_000 < process["memoryBytes"] <= process["peakMemoryBytes"] * 1.1
        assert 0 <= process["loopLagMs"] <= process["maxLoopLagMs"]


async def test_build_and_health_know_the_supergraph_its_age_and_why_no_newer_one_is_served() -> None:
    async with federated() as (gateway, a):
        answered = await gateway.ask(BUILD)
        found = answered.data["health"]["supergraph"]
        assert (found["source"], found["trouble"]) == ("the subgraphs of gateway.yaml", None)
        assert found["hash"] == answered.data["build"]["supergraphHash"]
        assert found["ageS"] >= 0
        a.graphql.behave(status(200, body={"data": {"_service": {"sdl": "type Query {"}}}))
        done = (await gateway.ask(RELOAD)).data["reloadSupergraph"]
        assert (done["changed"], done["previousHash"], done["hash"]) == (False, found["hash"], found["hash"])
        assert "[a] line 1" in done["error"]
        assert (await gateway.ask(BUILD)).data["health"]["supergraph"]["trouble"] == done["error"]
        assert (await gateway.ask("{ a }")).data == {"a": None}  # the old one goes on, broken as the subgraph is


async def test_a_newer_supergraph_is_served_at_once_when_an_operator_asks(tmp_path: Path, audited: Lines) -> None:
    file = tmp_path / "supergraph.graphql"
    a = ScriptedSubgraph.made("type Query { a: Int }", {"a": 1})
    newer = ScriptedSubgraph.made("type Query { a: Int n: Int }", {"a": 1, "n": 2})
    async with a, newer:
        file.write_text(supergraph_of({"a": a}))
        federation = {"supergraph": str(file), "poll_interval_s": None}
        async with federated_gateway({}, {"federation": federation, "ops": {"admin_token": TOKEN}}) as gateway:
            assert (await gateway.ask("{ n }")).codes == ["GRAPHQL_VALIDATION_FAILED"]
            file.write_text(supergraph_of({"a": newer}))
            done = (await gateway.ask(RELOAD, ADMIN)).data["reloadSupergraph"]
            assert (done["changed"], done["error"]) == (True, None)
            assert done["previousHash"] != done["hash"]
            assert (await gateway.ask("{ n }")).data == {"n": 2}
            file.unlink()
            assert "cannot be read" in (await gateway.ask(RELOAD, ADMIN)).data["reloadSupergraph"]["error"]
            assert (await gateway.ask("{ n }")).data == {"n": 2}
    first, second = audited()
    assert first["event"] == "supergraph reloaded by an operator"
    assert (first["by"], first["before"], first["after"]) == ("the admin token", done["previousHash"], done["hash"])
    assert "cannot be read" in second["error"]


async def test_plans_are_the_hot_operations_with_what_they_cost() -> None:
    async with federated() as (gateway, a):
        for _ in range(3):
            await gateway.ask('query Both { a(n: 1234567890, s: "secret") b }')
        a.graphql.behave(status(500))
        await gateway.ask('query Both { a(n: 1234567890, s: "secret") b }')
        await gateway.ask("query Other { b }")
        [both, other] = (await gateway.ask(PLANS, order="BY_COUNT")).data["plans"]
        assert (both["name"], both["kind"], both["count"]) == ("Both", "query", 4)
        document = 'query Both { a(n: 1234567890, s: "secret") b }'
        assert both["hash"] == hashlib.sha256(document.encode()).hexdigest()
        assert (both["fetches"], both["errors"], both["degraded"], both["cacheHits"]) == (4, 0, 1, 3)
        assert (both["compiled"], both["notCompiled"]) == (True, None)
        assert both["latency"]["meanMs"] == pytest.approx(both["totalMs"] / 4, abs=0.001)
        assert 0 < both["latency"]["p95Ms"] <= both["totalMs"]
        assert both["plan"] == '1 a\n  a(n: 0, s: "…") b'  # without what the client wrote into it
        assert (other["name"], other["count"], other["errors"], other["cacheHits"]) == ("Other", 1, 1, 0)
        [first] = (await gateway.ask(PLANS, first=1)).data["plans"]
        assert first["name"] in {"Both", "Plans"}
        assert (await gateway.ask(PLANS, first=0)).codes == ["BAD_USER_INPUT"]
        assert (await gateway.ask(PLANS, first=1001)).codes == ["BAD_USER_INPUT"]


async def test_plans_of_a_schema_that_is_not_federated_say_where_values_come_from_or_why_not() -> None:
    async with running_gateway() as gateway:
        await gateway.ask(f"query Data {QUERY}")
        await gateway.ask('query Meta { __type(name: "Query") { name } }')
        await gateway.ask("mutation Reload { reloadSupergraph { error } }")
        await gateway.ask("{ nothing }")  # refused, so it is no operation
        found = {plan["name"]: plan for plan in (await gateway.ask(PLANS)).data["plans"]}
        data, meta, reload = (found.pop(name) for name in ("Data", "Meta", "Reload"))
        assert found == {}
        assert "customer: Customer, a resolver" in data["plan"]
        assert (data["kind"], data["fetches"], data["compiled"]) == ("query", 1, True)
        assert (meta["compiled"], meta["notCompiled"]) == (False, "it asks for the schema itself")
        assert meta["plan"] is None
        assert (reload["kind"], reload["count"], reload["errors"]) == ("mutation", 1, 1)


async def test_a_circuit_is_forced_and_given_back_and_the_log_says_who_why_and_from_what_to_what(
    audited: Lines,
) -> None:
    async with running_gateway({"ops": {"admin_token": TOKEN}}) as gateway:
        answered = await gateway.ask(
            FORCE, {**ADMIN, "x-request-id": "r1"}, service="customers", mode="FORCED_OPEN", reason="deploying"
        )
        done = answered.data["forceCircuit"]
        assert (done["told"], done["service"]) == (False, "customers")
        assert done["before"] == [
            {"protocol": protocol, "operation": None, "state": "CLOSED", "mode": "AUTOMATIC"}
            for protocol in ("GRAPHQL", "REST")
        ]
        assert [(c["state"], c["mode"]) for c in done["circuits"]] == [("OPEN", "FORCED_OPEN")] * 2
        assert done["circuits"][0]["modeChange"] == {"by": "the admin token", "reason": "deploying"}
        assert "forced open by the admin token: deploying" in str((await gateway.ask(QUERY)).errors)
        user = {**ADMIN, "x-user-id": "ada"}
        back = await gateway.ask(FORCE, user, service="customers", mode="AUTOMATIC", protocol="GRAPHQL")
        assert [(c["protocol"], c["state"]) for c in back.data["forceCircuit"]["circuits"]] == [
            ("GRAPHQL", "HALF_OPEN")
        ]
        reset = await gateway.ask(RESET, user, service="customers")
        assert [c["state"] for c in reset.data["resetCircuit"]["circuits"]] == ["CLOSED", "CLOSED"]
        assert (await gateway.ask(QUERY)).errors == []
    forced, given_back, was_reset = audited()
    assert forced["event"] == "circuit forced by an operator"
    assert {key: forced[key] for key in ("by", "reason", "request_id", "service", "mode")} == {
        "by": "the admin token",
        "reason": "deploying",
        "request_id": "r1",
        "service": "customers",
        "mode": "forced_open",
    }
    assert forced["before"] == ["graphql: closed, automatic", "rest: closed, automatic"]
    assert forced["after"] == ["graphql: open, forced_open", "rest: open, forced_open"]
    assert forced["instance"] == forced["origin"] == done["instance"]
    assert (given_back["by"], given_back["protocol"]) == ("ada (admin token)", "graphql")
    assert was_reset["event"] == "circuit reset by an operator"
    assert was_reset["before"] == ["graphql: half_open, automatic", "rest: open, forced_open"]


async def test_with_a_circuit_for_each_operation_a_declared_or_called_one_is_named() -> None:
    per_operation = {"services": {"customers": {"breaker": {"scope": "operation"}}}}
    async with running_gateway(per_operation) as gateway:
        named: dict[str, Any] = {"service": "customers", "mode": "FORCED_OPEN", "operation": "Customer.by_id"}
        done = (await gateway.ask(FORCE, **named)).data["forceCircuit"]  # before it was ever called
        assert (done["before"], [c["mode"] for c in done["circuits"]]) == ([], ["FORCED_OPEN"] * 2)
        assert (await gateway.ask(QUERY)).codes == ["SERVICE_UNAVAILABLE"]
        reset = (await gateway.ask(RESET, service="customers", operation="Customer.by_id")).data["resetCircuit"]
        assert [c["state"] for c in reset["circuits"]] == ["CLOSED", "CLOSED"]
        unknown = await gateway.ask(RESET, service="customers", operation="Customer.byId")
        assert unknown.codes == ["BAD_USER_INPUT"]
        assert "no operation 'Customer.byId' is known here; there are: " in unknown.errors[0]["message"]
        assert "Customer.by_id" in unknown.errors[0]["message"]


@pytest.mark.parametrize(
    ("mutation", "variables", "message"),
    [
        (RESET, {"service": "crm"}, "There is no service 'crm'; there are: customers, invoices, bank."),
        (PURGE, {"service": "crm"}, "There is no service 'crm'; there are: customers, invoices, bank."),
        (RESET, {"service": "bank", "protocol": "GRAPHQL"}, "bank: is not spoken to by graphql; it is by rest."),
        (RESET, {"service": "bank", "operation": "x"}, "bank: has one circuit for all operations, and none for x"),
        (RESET, {"service": "bank", "reason": "x" * 501}, "The reason is longer than 500 characters."),
        (RELOAD, {}, "There is no supergraph to reload: gateway.yaml has no `federation:`."),
    ],
)
async def test_what_is_not_there_is_refused_with_what_is(
    mutation: str, variables: dict[str, Any], message: str, audited: Lines
) -> None:
    async with running_gateway() as gateway:
        answered = await gateway.ask(mutation, **variables)
        [error] = answered.errors
        assert error["message"].startswith(message)
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert list(answered.data.values()) == [None]
    assert audited() == []


async def test_the_cache_of_a_service_is_purged_whole_or_by_operation() -> None:
    async with running_gateway() as gateway:
        query = '{ invoice(id: "1") { number customer { name } } }'
        await gateway.ask(query)
        await gateway.customers.refuse()
        assert (await gateway.ask(query)).errors == []
        nothing = (await gateway.ask(PURGE, service="customers", keyPrefix="Other.")).data["purgeCache"]
        assert (nothing["memoryEntries"], nothing["redisEntries"], nothing["error"]) == (0, None, None)
        some = (await gateway.ask(PURGE, service="customers", keyPrefix="Cust")).data["purgeCache"]
        assert some["memoryEntries"] == 1
        assert (await gateway.ask(query)).codes == ["SERVICE_UNAVAILABLE"]
        assert (await gateway.ask(PURGE, service="invoices")).data["purgeCache"]["memoryEntries"] == 1


async def test_whoever_is_no_operator_learns_nothing_and_does_nothing(audited: Lines) -> None:
    async with running_gateway({"ops": {"admin_token": TOKEN}}) as gateway:
        everything: list[tuple[str, dict[str, Any]]] = [
            (FORCE, {"service": "customers", "mode": "FORCED_OPEN"}),
            (RESET, {"service": "customers"}),
            (PURGE, {"service": "customers"}),
            (RELOAD, {}),
            (PLANS, {}),
            ("{ build { pid } }", {}),
            ("{ fleet { complete } }", {}),
        ]
        for document, variables in everything:
            answered = await gateway.ask(document, **variables)
            assert list(answered.data.values()) == [None]
            assert answered.codes == ["UNAUTHENTICATED"]
        hidden = await gateway.ask("{ health { status process { memoryBytes } supergraph { hash } } }")
        assert hidden.data["health"] == {"status": "OK", "process": None, "supergraph": None}
        assert (await gateway.ask(QUERY)).errors == []  # nothing was forced
        by_get = await gateway.http.get("/graphql", params={"query": RELOAD}, headers=ADMIN)
        assert by_get.status_code == 405
    assert audited() == []


async def test_all_of_it_works_in_a_federation_for_operators_and_for_them_only(audited: Lines) -> None:
    async with federated(ops={"admin_token": TOKEN}) as (gateway, _):
        done = await gateway.ask(FORCE, ADMIN, service="a", mode="FORCED_OPEN", reason="deploying")
        assert [c["mode"] for c in done.data["forceCircuit"]["circuits"]] == ["FORCED_OPEN"]
        assert (await gateway.ask("{ a }")).codes == ["CIRCUIT_OPEN"]
        refused = await gateway.ask(RESET, service="a")
        assert (refused.data, refused.codes) == ({"resetCircuit": None}, ["UNAUTHENTICATED"])
        unknown = await gateway.ask(RESET, ADMIN, service="b")
        assert unknown.codes == ["BAD_USER_INPUT"]
        assert "there are: a" in unknown.errors[0]["message"]
        reset = await gateway.ask(RESET, ADMIN, service="a")
        assert [c["state"] for c in reset.data["resetCircuit"]["circuits"]] == ["CLOSED"]
        assert (await gateway.ask("{ a }")).data == {"a": 1}
        assert (await gateway.ask(PURGE, ADMIN, service="a")).data["purgeCache"]["memoryEntries"] == 1
        fleet = await gateway.ask("{ fleet { source complete instances { supergraphHash } } }", ADMIN)
        assert fleet.data["fleet"]["instances"][0]["supergraphHash"]
    assert [line["event"].split()[1] for line in audited()] == ["forced", "reset", "purged"]


async def test_a_reset_over_http_is_audited_as_one_in_graphql_is(audited: Lines) -> None:
    async with running_gateway({"ops": {"admin_token": TOKEN}}) as gateway:
        await force_open(gateway)
        path = "/monitoring/circuit-breakers/customers:rest/reset"
        headers = {**ADMIN, "x-request-id": "r9", "x-user-id": "ada"}
        assert (await gateway.http.post(path, json={"reason": "done"}, headers=headers)).status_code == 200
        assert (await gateway.http.post(path, json={})).status_code == 401
    [_, line] = audited()
    assert (line["event"], line["by"], line["request_id"]) == (
        "circuit reset by an operator",
        "ada (admin token)",
        "r9",
    )
    assert (line["before"], line["after"]) == (["rest: open, forced_open"], ["rest: closed, automatic"])


async def force_open(gateway: Gateway) -> None:
    await gateway.ask(FORCE, ADMIN, service="customers", mode="FORCED_OPEN")
