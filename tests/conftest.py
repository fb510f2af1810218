from collections.abc import Iterator

import pytest

from tests.testkit.redis import RedisServer, redis_server


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A real, empty Redis server of this test's own."""
    with redis_server() as server:
        yield server
