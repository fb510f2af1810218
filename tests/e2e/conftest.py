"""The gateway, as the tests of the whole use it."""

from collections.abc import AsyncIterator

import pytest

from tests.testkit.gateway import Gateway, running_gateway


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A fresh gateway with healthy upstreams."""
    async with running_gateway() as running:
        yield running
