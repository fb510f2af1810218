"""A supergraph that changes under a running gateway, and overrides that are on for a share of requests."""

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from gateway.app import create_app
from gateway.config import load
from tests.testkit.clock import ManualClock
from tests.testkit.federation import FederatedGateway, ScriptedSubgraph, federated_gateway, supergraph_of
from tests.testkit.upstream import hang, status
from tests.testkit.waiting import until_true

A = "type Query { a: Int }"
B = "type Query { b: Int }"
OLD = 'type Query { thing: Thing } type Thing @key(fields: "id") { id: ID! name: String }'
NEW = """
type Query { other: Int }
type Thing @key(fields: "id") { id: ID! name: String @override(from: "old", label: "percent(25)") }
"""
SCHEMA = "{ __schema { queryType { fields { name } } } }"


async def fields(gateway: FederatedGateway) -> set[str]:
    answered = await gateway.ask(SCHEMA)
    return {field["name"] for field in answered.data["__schema"]["queryType"]["fields"]}


async def reloaded(gateway: FederatedGateway, clock: ManualClock, expected: set[str], *, poll_s: float = 10) -> None:
    """Return once the gateway serves these fields; time goes on by a poll each turn."""
    async with asyncio.timeout(5):
        while await fields(gateway) != expected:
            await clock.advance(poll_s)


async def test_a_file_that_changes_is_served_and_a_bad_one_is_in_health_until_it_is_good(tmp_path: Path) -> None:
    clock = ManualClock()
    file = tmp_path / "supergraph.graphql"
    a, b = ScriptedSubgraph.made(A, {"a": 1}), ScriptedSubgraph.made(B, {"b": 2})
    async with a, b:
        file.write_text(supergraph_of({"a": a}))
        federation = {"supergraph": str(file), "local": None}
        async with federated_gateway({}, {"federation": federation}, clock=clock) as gateway:
            assert (await gateway.ask("{ a }")).data == {"a": 1}
            assert await gateway.check("supergraph") == {"name": "supergraph", "status": "ok", "reason": None}

            file.write_text("type Query {")
            await clock.advance(10)
            check = await gateway.check("supergraph")
            assert check["status"] == "degraded"
            assert "not valid GraphQL" in check["reason"]
            assert (await gateway.ask("{ a }")).data == {"a": 1}

            file.write_text(supergraph_of({"a": a, "b": b}))
            await clock.advance(10)
            assert (await gateway.check("supergraph"))["status"] == "ok"
            assert (await gateway.ask("{ a b }")).data == {"a": 1, "b": 2}
            assert (await gateway.check("upstream:b"))["status"] == "ok"


async def test_health_is_told_by_the_schema_too(tmp_path: Path) -> None:
    clock = ManualClock()
    a = ScriptedSubgraph.made(A, {"a": 1})
    async with a, federated_gateway({"a": a}, clock=clock) as gateway:
        a.graphql.behave(status(200, body={"data": {"_service": {"sdl": "type Query {"}}}))
        await clock.advance(10)
        await a.graphql.wait_for_calls(2)

        async def reason() -> Any:
            answered = await gateway.ask("{ health { status checks { name status reason } } }")
            checks = answered.data["health"]["checks"]
            return next(check for check in checks if check["name"] == "supergraph")["reason"]

        async with asyncio.timeout(5):
            while (said := await reason()) is None:
                pass
        assert "[a] line 1" in said
        await a.refuse()
        await clock.advance(10)
        async with asyncio.timeout(5):
            while "connection attempts failed" not in await reason():
                pass
        a.graphql.heal()
        await a.listen()
        await reloaded(gateway, clock, {"a", "build", "fleet", "health", "plans", "upstreams"})
        async with asyncio.timeout(5):
            while await reason() is not None:
                await clock.advance(10)


async def test_a_request_under_way_ends_on_the_old_supergraph_and_leaves_nothing_behind(tmp_path: Path) -> None:
    clock = ManualClock()
    file = tmp_path / "supergraph.graphql"
    a, b = ScriptedSubgraph.made(A, {"a": 1}), ScriptedSubgraph.made(B, {"b": 2})
    async with a, b:
        file.write_text(supergraph_of({"a": a}))
        federation = {"supergraph": str(file), "local": None, "poll_interval_s": 1}
        async with federated_gateway({}, {"federation": federation}, clock=clock) as gateway:
            await gateway.ask("{ __typename }")
            before = asyncio.all_tasks()
            silent = hang()
            a.graphql.behave(silent)
            asking = asyncio.create_task(gateway.ask("{ a }"))
            await a.graphql.wait_for_calls(1)
            file.write_text(supergraph_of({"b": b}))
            await reloaded(gateway, clock, {"b"}, poll_s=1)  # well before an attempt times out
            silent.release()
            assert (await asking).body == {"data": {"a": 1}}
            assert len(a.graphql.calls) == 1
            await a.wait_for_connections(0)
            await until_true(
                lambda: {t for t in asyncio.all_tasks() - before if "drain" in t.get_name()} == set(),
                "the drained supergraph to be closed",
            )


async def test_a_gateway_that_cannot_start_does_not(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({"federation": {"supergraph": "none.graphql"}}))
    app = create_app(load(file, {}))
    with pytest.raises(Exception, match=r"none.graphql: cannot be read"):
        async with app.router.lifespan_context(app):
            raise AssertionError


class Drawn(Random):
    """Gives these numbers, one a request."""

    def __init__(self, *numbers: float) -> None:
        super().__init__(1)
        self.numbers = list(numbers)

    def random(self) -> float:
        return self.numbers.pop(0) if self.numbers else 0.5


async def test_an_override_is_on_for_its_share_of_requests() -> None:
    thing = {"id": "1", "name": "old"}
    old = ScriptedSubgraph.made(OLD, {"thing": thing}, {"Thing": lambda _: thing})
    new = ScriptedSubgraph.made(NEW, {}, {"Thing": lambda each: {"id": each["id"], "name": "new"}})
    drawn = Drawn()
    async with old, new:
        graph = {"old": old, "new": new}
        async with federated_gateway(graph, {"federation": {"local": None}}, random=drawn) as gateway:
            names = []
            for number in (0.0, 0.2499, 0.25, 0.99, 0.1):
                drawn.numbers = [number]
                names.append((await gateway.ask("{ thing { name } }")).data["thing"]["name"])
            assert names == ["new", "new", "old", "old", "new"]


@pytest.mark.parametrize(("label", "expected"), [("percent(0)", "old"), ("percent(100)", "new"), ("mine", "old")])
async def test_the_ends_of_the_scale_and_labels_of_others(label: str, expected: str) -> None:
    thing = {"id": "1", "name": "old"}
    old = ScriptedSubgraph.made(OLD, {"thing": thing}, {"Thing": lambda _: thing})
    sdl = NEW.replace("percent(25)", label)
    new = ScriptedSubgraph.made(sdl, {}, {"Thing": lambda each: {"id": each["id"], "name": "new"}})
    async with old, new:
        graph = {"old": old, "new": new}
        for number in (0.0, 0.999):
            async with federated_gateway(graph, {"federation": {"local": None}}, random=Drawn(number)) as gateway:
                assert (await gateway.ask("{ thing { name } }")).data["thing"]["name"] == expected
