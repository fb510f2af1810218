"""Metrics and log lines of a federated gateway with Redis, over real sockets."""

import io
import json

import structlog
from prometheus_client import parser

from gateway.telemetry import logs
from tests.e2e.test_federation import CROSSING, running_shop
from tests.testkit.redis import RedisServer

QUERY = f"query Crossing {CROSSING}"


async def test_plans_supergraph_and_redis_are_told_and_a_slow_request_shows_its_plan(redis: RedisServer) -> None:
    stream = io.StringIO()
    logs.configure(json=True, level="info", stream=stream)
    sections = {
        "redis": {"url": redis.url, "timeout_s": 0.5},
        "log": {"requests": {"sample": 0, "slow_s": 1e-6}},
    }
    kept = {"products": {"cache": {"max_age_s": 600, "stale_if_error_s": 600}}}
    async with running_shop(sections, kept) as shop:
        for _ in range(3):
            await shop.ask(QUERY)
        text = (await shop.gateway.http.get("/metrics")).text
        performance = (await shop.gateway.http.get("/monitoring/performance")).json()["data"]
    structlog.reset_defaults()
    read = {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    none: frozenset[str] = frozenset()
    assert (read["gateway_plan_cache_misses_total", none], read["gateway_plan_cache_hits_total", none]) == (1, 2)
    assert performance["planCache"] == {"hits": 2, "misses": 1}
    assert 0 <= read["gateway_supergraph_age_seconds", none] < 600
    assert read["gateway_redis_circuit_state", none] == 0
    assert read["gateway_dependency_trouble", frozenset(["supergraph"])] == 0
    assert read["gateway_store_keys_total", frozenset(["memory", "miss"])] > 0
    assert read["gateway_store_keys_total", frozenset(["redis", "miss"])] > 0
    assert read["integration_batch_keys_count", frozenset(["reviews"])] > 0
    slow = [line for line in map(json.loads, stream.getvalue().splitlines()) if line["event"] == "slow request"]
    assert len(slow) == 3
    assert len({line["plan"] for line in slow}) == 1
    first = slow[0]
    assert (first["operation"], first["kind"]) == ("Crossing", "query")
    assert first["fetches"] == sum(first["served_by"].values()) == len(first["calls"])
    assert {call["service"] for call in first["calls"]} == {"products", "reviews", "customers"}
    assert "products(first: 0)" in first["plan_text"]
    assert "after" in first["plan_text"]
