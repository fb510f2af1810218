"""GraphQL over HTTP, as graphql-http's audit asks for it, against the whole gateway over a socket."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from tests.attacks.target import serving
from tests.conformance.edge import PAGE, edge_table
from tests.testkit.node import node_with_packages

_NODE = Path(__file__).parent / "node"
_AUDIT_S = 60
_OFF = {"compression": {"min_bytes": 1}, "batching": {}, "dedupe_inflight": True}
CONFIGURATIONS: dict[str, dict[str, object]] = {
    "introspection on": {"server": {"introspection": True}},
    "all that is off by default on": {
        "server": {"introspection": True, **_OFF},
        "persisted_queries": {"automatic": {}},
        "cors": {"origins": ["https://app.example.org"]},
        "limits": {"cost": "enforce"},
        "identity": {"trusted_proxies": ["127.0.0.1/32"]},
        "rate_limit": {"per_s": 1_000, "capacity": 1_000},
    },
}

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="module")]


class Audit(msgspec.Struct, frozen=True):
    id: str
    name: str
    status: str
    reason: str | None


class Report(msgspec.Struct, frozen=True):
    version: str
    audits: list[Audit]

    def page(self) -> str:
        """The report as docs/conformance.md has it."""
        passed = sum(audit.status == "ok" for audit in self.audits)
        rows = [f"| `{a.id}` | {_cell(a.name)} | {a.status} |" for a in sorted(self.audits, key=lambda a: a.id)]
        return "\n".join(
            [
                "# Conformance",
                "",
                "Made by `BREAKWATER_REPORTS=docs .venv/bin/pytest tests/conformance`, which fails when this page is "
                "out of date.",
                "",
                "## GraphQL over HTTP",
                "",
                f"What `auditServer` of graphql-http {self.version} says of `gateway serve` in production mode, over a "
                f"socket: {passed} of {len(self.audits)} ok, and as many with persisted queries, batching, "
                "compression, CORS, cost limits and a rate limit on. Introspection is on: the audits `28B9`, `2EA1`, "
                "`6A70` and `D6D5` ask for `__type`.",
                "",
                "| id | requirement | result |",
                "|---|---|---|",
                *rows,
                "",
                *edge_table(),
            ]
        )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the audit installed."""
    return node_with_packages(_NODE)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(CONFIGURATIONS))
async def audited(
    request: pytest.FixtureRequest, node: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[str, Report]]:
    """A configuration's name and one run of the audit against it."""
    services = {name: {"rest": "http://127.0.0.1:9"} for name in ("customers", "bank")}
    config = {"imports": ["schema.customers"], "services": services, **CONFIGURATIONS[request.param]}
    async with serving(tmp_path_factory.mktemp("audited"), config) as gateway:
        process = await asyncio.create_subprocess_exec(
            node, "audit.mjs", f"http://127.0.0.1:{gateway.port}/graphql", cwd=_NODE, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(_AUDIT_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0
    yield request.param, msgspec.json.decode(output, type=Report)


async def test_every_audit_is_ok_and_none_is_a_warning(audited: tuple[str, Report]) -> None:
    _, report = audited
    assert [audit for audit in report.audits if audit.status != "ok"] == []
    assert len(report.audits) == 61


async def test_the_page_in_the_docs_is_of_this_audit(audited: tuple[str, Report]) -> None:
    name, report = audited
    if name == "introspection on" and "BREAKWATER_REPORTS" in os.environ:
        (Path(os.environ["BREAKWATER_REPORTS"]) / PAGE.name).write_text(report.page())
    assert PAGE.read_text() == report.page()
