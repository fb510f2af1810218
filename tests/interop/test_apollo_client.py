"""Apollo Client asks the gateway: by hash, by the identifiers of a manifest that `gateway persist` made, in batches."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.node import node_with_packages

_FOLDER = Path(__file__).parent / "apollo_client"
_PATIENCE_S = 60
NAMES = [{"customer": {"__typename": "Customer", "name": f"Customer {number}"}} for number in (1, 2)]

pytestmark = pytest.mark.node


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with Apollo Client installed."""
    return node_with_packages(_FOLDER)


@pytest.fixture
def operations(tmp_path: Path) -> Path:
    """The client's operation, and the manifest that is made of it."""
    folder = shutil.copytree(_FOLDER / "operations", tmp_path / "operations")
    assert main(["persist", str(folder), "--typename", "--out", str(folder / "manifest.json")]) == 0
    return folder


async def asked(node: str, gateway: Gateway, mode: str, operations: Path) -> list[dict[str, Any]]:
    """Ask for two customers; the requests that it took."""
    command = (node, "client.mjs", f"{gateway.server.url}/graphql", mode, str(operations))
    process = await asyncio.create_subprocess_exec(*command, cwd=_FOLDER, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    report = json.loads(output)
    assert report["data"] == NAMES
    requests: list[dict[str, Any]] = report["requests"]
    return requests


def sent(requests: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    """Of each request, the method, and whether the document was sent along."""
    return [(request["method"], "query Customer" in request["sent"]) for request in requests]


@pytest.mark.parametrize(("mode", "method"), [("automatic", "POST"), ("get", "GET")])
async def test_it_sends_a_document_once_and_its_hash_from_then_on(
    node: str, operations: Path, mode: str, method: str
) -> None:
    async with running_gateway({"persisted_queries": {"automatic": {}}}) as gateway:
        requests = await asked(node, gateway, mode, operations)
        assert sent(requests) == [(method, False), ("POST", True), (method, False)]


async def test_where_nothing_is_kept_it_sends_documents(node: str, operations: Path) -> None:
    async with running_gateway() as gateway:
        requests = await asked(node, gateway, "automatic", operations)
        assert sent(requests) == [("POST", False), ("POST", True), ("POST", True)]


async def test_it_names_the_operations_of_a_manifest(node: str, operations: Path) -> None:
    safelist = {"file": str(operations / "manifest.json"), "mode": "enforce"}
    async with running_gateway({"persisted_queries": {"safelist": safelist}}) as gateway:
        assert sent(await asked(node, gateway, "listed", operations)) == [("POST", False), ("POST", False)]
        # Sent as text, its operation is on the list as well.
        assert sent(await asked(node, gateway, "plain", operations)) == [("POST", True), ("POST", True)]


async def test_it_sends_a_batch(node: str, operations: Path) -> None:
    async with running_gateway({"server": {"batching": {}}}) as gateway:
        assert sent(await asked(node, gateway, "batch", operations)) == [("POST", True)]
