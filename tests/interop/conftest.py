import selectors
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.testkit.node import node_with_packages

_NODE = Path(__file__).parent / "node"
_START_S = 60


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the packages of package.json installed."""
    return node_with_packages(_NODE)


@pytest.fixture(scope="session")
def apollo_url(node: str) -> Iterator[str]:
    """Where an Apollo Server takes GraphQL: `customers(ids: [ID!]!): [Customer]!`, `customer(id: ID!)`."""
    with _running(node, "apollo.mjs") as url:
        yield url


@pytest.fixture(scope="session")
def json_server_url(node: str) -> Iterator[str]:
    """The base of a json-server: `/customers?id=1&id=2`, `/customers/1`.

    Pinned to 0.17, its last stable line; the betas of 1.0 find no rows for a repeated parameter.
    """
    with _running(node, "json-server.cjs") as url:
        yield url


@contextmanager
def _running(node: str, script: str) -> Iterator[str]:
    """Run a script that prints its address once it listens, and ends when its standard input closes."""
    with subprocess.Popen(
        [node, script], cwd=_NODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield _first_line(process, script)
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()


def _first_line(process: subprocess.Popen[str], script: str) -> str:
    if process.stdout is None:
        raise ValueError("start the process with stdout=PIPE")
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(_START_S):
            raise TimeoutError(f"{script} did not listen within {_START_S} s")
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"{script} ended with {process.wait(timeout=5)}; its output is above")
    return line
