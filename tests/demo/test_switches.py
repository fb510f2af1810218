import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from demo import switches
from demo.run import ANY_PORTS, Demo, serve_demo
from demo.switches import DemoError
from tests.testkit.clock import ManualClock
from tests.testkit.ports import bound_port
from tests.testkit.serve import serve


async def break_(demo: Demo, target: str, mode: str, **options: float) -> dict[str, Any]:
    return await asyncio.to_thread(switches.break_, target, mode, control_url=demo.control_url, **options)


async def mend(demo: Demo, target: str) -> None:
    await asyncio.to_thread(switches.mend, target, control_url=demo.control_url)


async def list_faults(demo: Demo) -> dict[str, Any]:
    return await asyncio.to_thread(switches.list_faults, control_url=demo.control_url)


async def ask_graphql(demo: Demo, client: httpx.AsyncClient) -> httpx.Response:
    return await client.post(f"{demo.urls['customers']}/graphql", json={"query": '{ customer(id: "1") { id } }'})


async def ask_rest(demo: Demo, client: httpx.AsyncClient) -> httpx.Response:
    return await client.get(f"{demo.urls['customers']}/api/customers/1")


async def test_one_protocol_breaks_and_mends_alone(demo: Demo, client: httpx.AsyncClient) -> None:
    assert await break_(demo, "customers.graphql", "error") == {"mode": "error"}
    assert (await ask_graphql(demo, client)).status_code == 500
    assert (await ask_rest(demo, client)).status_code == 200
    await mend(demo, "customers.graphql")
    assert (await ask_graphql(demo, client)).json() == {"data": {"customer": {"id": "1"}}}


async def test_a_whole_upstream_breaks_and_others_do_not_notice(demo: Demo, client: httpx.AsyncClient) -> None:
    await break_(demo, "customers", "unavailable", retry_after_s=7)
    for answer in (await ask_graphql(demo, client), await ask_rest(demo, client)):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert (await client.get(f"{demo.urls['invoices']}/api/invoices/1001")).status_code == 200


async def test_malformed_empty_and_reset_answers(demo: Demo, client: httpx.AsyncClient) -> None:
    for mode in ("malformed", "empty"):
        await break_(demo, "customers.rest", mode)
        answer = await ask_rest(demo, client)
        assert answer.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            answer.json()
    await break_(demo, "customers.rest", "reset")
    with pytest.raises(httpx.ReadError):
        await ask_rest(demo, client)


async def test_slow_answers_are_true_answers(demo: Demo, client: httpx.AsyncClient, clock: ManualClock) -> None:
    await break_(demo, "customers.rest", "slow", delay_ms=800)
    waiting = asyncio.create_task(ask_rest(demo, client))
    await clock.wait_for_sleepers(1)
    assert clock.sleepers == pytest.approx([0.8])
    await clock.advance(0.8)
    assert (await waiting).json()["id"] == "1"


async def test_flaky_answers_fail_as_often_as_told(demo: Demo, client: httpx.AsyncClient) -> None:
    await break_(demo, "customers.rest", "flaky", rate=0.25)
    statuses = [(await ask_rest(demo, client)).status_code for _ in range(40)]
    assert set(statuses) == {200, 503}
    assert 4 <= statuses.count(503) <= 18


async def test_a_hang_holds_the_request_until_the_client_leaves(demo: Demo) -> None:
    await break_(demo, "customers.graphql", "hang")
    async with httpx.AsyncClient(timeout=httpx.Timeout(5, read=0.05)) as client:
        with pytest.raises(httpx.ReadTimeout):
            await ask_graphql(demo, client)


async def test_down_refuses_connections_until_mended(demo: Demo, client: httpx.AsyncClient) -> None:
    await ask_rest(demo, client)
    await break_(demo, "customers", "down")
    with pytest.raises(httpx.ConnectError):
        await ask_rest(demo, client)
    assert (await list_faults(demo))["customers"]["down"] is True
    await mend(demo, "customers")
    assert (await ask_rest(demo, client)).status_code == 200


async def test_any_later_switch_brings_a_downed_upstream_up(demo: Demo, client: httpx.AsyncClient) -> None:
    await break_(demo, "all", "down")
    await break_(demo, "customers.graphql", "error")
    assert (await ask_graphql(demo, client)).status_code == 500
    assert (await ask_rest(demo, client)).status_code == 200
    faults = await list_faults(demo)
    assert [name for name, entry in faults.items() if entry["down"]] == ["invoices", "bank", "products", "reviews"]
    await mend(demo, "all")
    assert not any(entry["down"] for entry in (await list_faults(demo)).values())
    assert (await ask_graphql(demo, client)).status_code == 200


async def test_one_protocol_cannot_be_down_alone(demo: Demo) -> None:
    with pytest.raises(DemoError, match="share a port; use customers"):
        await break_(demo, "customers.graphql", "down")


async def test_the_list_shows_faults_and_counts(demo: Demo, client: httpx.AsyncClient) -> None:
    await ask_rest(demo, client)
    await break_(demo, "customers.graphql", "slow", delay_ms=10)
    await break_(demo, "customers.rest", "error")
    await ask_rest(demo, client)
    await client.get(f"{demo.urls['customers']}/health")
    assert (await list_faults(demo))["customers"] == {
        "url": demo.urls["customers"],
        "down": False,
        "protocols": {
            "graphql": {"fault": {"mode": "slow", "delay_ms": 10}, "requests": 0, "failed": 0},
            "rest": {"fault": {"mode": "error"}, "requests": 2, "failed": 1},
        },
    }


async def test_unknown_targets_and_modes_are_answered_with_those_there_are(demo: Demo) -> None:
    with pytest.raises(DemoError, match=r"no customer; the targets are customers\.graphql, .* reviews, all$"):
        await break_(demo, "customer", "error")
    with pytest.raises(DemoError, match=r"no bank\.graphql"):
        await mend(demo, "bank.graphql")
    with pytest.raises(DemoError, match="no mode explode; the modes are error, unavailable, hang"):
        await break_(demo, "customers", "explode")
    with pytest.raises(DemoError, match="delay_ms"):
        await break_(demo, "customers", "slow", delay_ms=-1)


async def test_the_control_server_takes_json_only(demo: Demo, client: httpx.AsyncClient) -> None:
    url = f"{demo.control_url}/customers"
    form = await client.post(url, content=b'{"mode": "error"}', headers={"content-type": "text/plain"})
    assert form.status_code == 415
    assert (await client.post(url, json={"mode": "error", "colour": "red"})).status_code == 422
    assert (await ask_rest(demo, client)).status_code == 200


def test_without_a_demo_the_helpers_say_how_to_start_it() -> None:
    with bound_port() as port, pytest.raises(DemoError, match=r"the demo does not run.*make run"):
        switches.list_faults(control_url=f"http://127.0.0.1:{port}")


async def test_the_demo_ends_with_requests_hanging(client: httpx.AsyncClient) -> None:
    async with serve_demo(ANY_PORTS) as demo:
        await break_(demo, "customers", "hang")
        await break_(demo, "invoices", "down")
        waiting = asyncio.create_task(ask_rest(demo, client))
        async with asyncio.timeout(5):
            while not (await list_faults(demo))["customers"]["protocols"]["rest"]["requests"]:
                continue
        url = demo.control_url
    with pytest.raises(httpx.TransportError):
        await waiting
    with pytest.raises(httpx.ConnectError):
        await client.get(url)


async def test_a_taken_port_is_named_and_nothing_is_left_running(client: httpx.AsyncClient) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError

    async with serve(app) as taken:
        with pytest.raises(OSError, match=f"127.0.0.1:{taken.port}"):
            async with serve_demo(replace(ANY_PORTS, bank=taken.port)):
                pass
