"""Commands as processes of their own, ended by their ids."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

_PATIENCE_S = 30.0

GATEWAY = [sys.executable, "-c", "import sys; from gateway.cli import main; sys.exit(main())"]
"""The `gateway` command, run by this Python."""


def gateway(
    *arguments: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*GATEWAY, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
    )


def _wait_for(process: subprocess.Popen[str], ready_url: str) -> None:
    """Return once it answers; asked again and again without backing off, which would wait longer than it starts."""
    deadline = time.monotonic() + _PATIENCE_S
    with httpx.Client(trust_env=False, timeout=_PATIENCE_S) as client:
        while True:
            try:
                client.get(ready_url).raise_for_status()
            except httpx.ConnectError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


@contextlib.contextmanager
def running(
    command: list[str], ready_url: str, *, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A server, once it answers at `ready_url`; told to stop, and waited for, at the end."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(environment or {})}
    )
    try:
        _wait_for(process, ready_url)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # no grace period
        process.communicate(timeout=30)
