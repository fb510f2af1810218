"""The walk through the README, as its reader takes it."""

import re
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.testkit.ports import free_port
from tests.testkit.processes import GATEWAY, gateway, running

ASK = "{ invoices(first: 3) { number total customer { name balance } } }"
CIRCUITS = '{ upstreams(name: "customers") { status circuits { protocol state since reason nextProbeAt } } }'


class Demo:
    """The demo, on ports of its own."""

    def __init__(self, url: str, control_port: int) -> None:
        self.url = url
        self.control = ["demo", "--control-port", str(control_port)]

    def ask(self, query: str) -> dict[str, Any]:
        """POST a query."""
        response = httpx.post(f"{self.url}/graphql", json={"query": query}, trust_env=False, timeout=30)
        body: dict[str, Any] = response.json()
        return body

    def switch(self, *arguments: str) -> str:
        """`gateway demo break …` and the like."""
        done = gateway(*self.control, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def demo() -> Iterator[Demo]:
    """A running demo. Its six ports follow one another, so a range is looked for, not just one."""
    port, control = free_port(), 20_000 + free_port() % 12_000
    command = [*GATEWAY, "demo", "--port", str(port), "--control-port", str(control)]
    with running(command, f"http://127.0.0.1:{port}/health/ready"):
        yield Demo(f"http://127.0.0.1:{port}", control)


def test_ask_break_ask_again_and_read_why(demo: Demo) -> None:
    good = demo.ask(ASK)
    assert [i["number"] for i in good["data"]["invoices"]] == ["INV-2026-0001", "INV-2026-0002", "INV-2026-0003"]
    names = [i["customer"]["name"] for i in good["data"]["invoices"]]

    assert demo.switch("break", "customers.graphql") == "customers.graphql is broken: error\n"
    by_rest = demo.ask(ASK)
    assert [i["customer"]["name"] for i in by_rest["data"]["invoices"]] == names
    assert by_rest["extensions"]["upstreams"][0]["servedBy"] == "REST"

    demo.switch("break", "customers", "down")
    stale = demo.ask(ASK)
    assert [i["customer"]["name"] for i in stale["data"]["invoices"]] == names
    (note,) = [n for n in stale["extensions"]["upstreams"] if n["service"] == "customers"]
    assert (note["servedBy"], note["reason"]) == ("STALE", "SERVICE_UNAVAILABLE")
    assert note["ageMs"] > 0

    (customers,) = demo.ask(CIRCUITS)["data"]["upstreams"]
    (graphql,) = [c for c in customers["circuits"] if c["protocol"] == "GRAPHQL"]
    assert graphql["state"] == "OPEN"
    assert graphql["reason"] == "3 failures in a row (last: UPSTREAM_UNREACHABLE)"
    assert re.search(r"customers +down", demo.switch("faults"))

    assert demo.switch("mend") == "all is mended\n"
    assert "graphql    well" in demo.switch("faults")


def test_a_subgraph_is_asked_over_rest_when_its_graphql_is_broken(demo: Demo) -> None:
    query = "{ products(first: 2) { name reviews(first: 1) { body } } latestReviews(first: 2) { product { price } } }"
    good = demo.ask(query)
    assert "extensions" not in good
    demo.switch("break", "products.graphql")
    by_rest = demo.ask(query)
    assert (by_rest["data"], by_rest.get("errors")) == (good["data"], None)
    notes = by_rest["extensions"]["upstreams"]
    assert {(note["service"], note["servedBy"]) for note in notes} == {("products", "REST")}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_it_ends_without_complaint(number: signal.Signals) -> None:
    port, control = free_port(), 20_000 + free_port() % 12_000
    command = [*GATEWAY, "demo", "--port", str(port), "--control-port", str(control)]
    with running(command, f"http://127.0.0.1:{port}/health/ready") as process:
        process.send_signal(number)
        said = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    assert "Traceback" not in said


def test_an_unknown_target_names_the_known_ones(demo: Demo) -> None:
    done = gateway(*demo.control, "break", "customer")
    assert done.returncode == 1
    assert "customers.graphql" in done.stderr


def test_a_second_demo_says_that_the_first_is_running(demo: Demo) -> None:
    done = gateway(*demo.control, "--port", str(free_port()))
    assert done.returncode == 1
    assert "is the demo running already?" in done.stderr
