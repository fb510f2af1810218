"""Commands as processes of their own, ended by their ids."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

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


@contextlib.contextmanager
def running(
    command: list[str], ready_url: str, *, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A server, once it answers at `ready_url`; told to stop, and waited for, at the end."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(environment or {})}
    )
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=8), trust_env=False) as client:
            client.get(ready_url, timeout=30).raise_for_status()
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # no grace period
        process.communicate(timeout=30)
