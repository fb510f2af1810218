"""Ports of 127.0.0.1 for processes that a test starts."""

import contextlib
import socket
from collections.abc import Iterator


def free_port() -> int:
    """A port nobody listens on now; prefer `serve`, which never lets go of the port it found."""
    with bound_port() as port:
        return port


@contextlib.contextmanager
def bound_port() -> Iterator[int]:
    """A port that refuses connections for as long as the block runs: bound, and nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word: a black hole for whoever waits for an answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        yield sock.getsockname()[1]
