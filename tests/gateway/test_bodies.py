"""The keys of `server` that say which bodies are read and written."""

import pytest

from gateway.config import ConfigError, parse


def test_a_batch_must_fit_among_the_requests_that_are_let_in() -> None:
    text = "server:\n  max_in_flight: 5\n  batching: { max_operations: 6 }\n"
    with pytest.raises(
        ConfigError, match=r"line 3: server\.batching\.max_operations: is more than server\.max_in_flight"
    ):
        parse(text, {})
    for fits in ("max_in_flight: 6", "max_in_flight: null"):
        assert parse(text.replace("max_in_flight: 5", fits), {}).server.batching is not None


def test_all_of_it_is_off_until_asked_for() -> None:
    server = parse("{}", {}).server
    assert (server.batching, server.compression, server.body_timeout_s) == (None, None, 30.0)
