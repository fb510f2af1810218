"""GraphQL over HTTP, as graphql-http's audit asks for it, against the whole gateway over a socket."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from tests.testkit.gateway import running_gateway
from tests.testkit.node import node_with_packages

_NODE = Path(__file__).parent / "node"
_PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
_AUDIT_S = 60

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
                f"What `auditServer` of graphql-http {self.version} says of the gateway in development mode, over a "
                f"socket: {passed} of {len(self.audits)} ok.",
                "The audits `28B9`, `2EA1`, `6A70` and `D6D5` ask for `__type`: they fail where introspection is "
                "off, as in production.",
                "",
                "Made by `BREAKWATER_REPORTS=docs .venv/bin/pytest tests/conformance`, which fails when this page is "
                "out of date.",
                "",
                "| id | requirement | result |",
                "|---|---|---|",
                *rows,
                "",
            ]
        )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the audit installed."""
    return node_with_packages(_NODE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def report(node: str) -> AsyncIterator[Report]:
    """One run of the audit; written to the directory BREAKWATER_REPORTS where that is set."""
    async with running_gateway() as gateway:
        process = await asyncio.create_subprocess_exec(
            node, "audit.mjs", f"{gateway.server.url}/graphql", cwd=_NODE, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(_AUDIT_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0
    report = msgspec.json.decode(output, type=Report)
    if "BREAKWATER_REPORTS" in os.environ:
        (Path(os.environ["BREAKWATER_REPORTS"]) / _PAGE.name).write_text(report.page())
    yield report


async def test_every_audit_is_ok_and_none_is_a_warning(report: Report) -> None:
    assert [audit for audit in report.audits if audit.status != "ok"] == []
    assert len(report.audits) == 61


async def test_the_page_in_the_docs_is_of_this_audit(report: Report) -> None:
    assert _PAGE.read_text() == report.page()
