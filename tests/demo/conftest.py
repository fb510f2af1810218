from collections.abc import AsyncIterator

import httpx
import pytest

from demo.run import ANY_PORTS, Demo, serve_demo
from tests.testkit.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def demo(clock: ManualClock) -> AsyncIterator[Demo]:
    async with serve_demo(ANY_PORTS, sleep=clock.sleep) as demo:
        yield demo


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=5) as client:
        yield client
