"""Processes that are measured: started on a core of their own, asked what they used, ended."""

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_SERVE = "import sys; from gateway.cli import main; sys.exit(main())"


def gateway_command(*arguments: str) -> list[str]:
    """`gateway …` of this checkout, by the interpreter that runs the benchmark."""
    return [sys.executable, "-c", _SERVE, *arguments]


@contextlib.contextmanager
def running(command: Sequence[str], *, port: int, cpu: int | None = None) -> Iterator[int]:
    """The id of the process, from when its port accepts connections.

    Args:
        command: what to start.
        port: where it will listen, on 127.0.0.1.
        cpu: the core it is bound to, as an index into those there are; None leaves that to the system.

    Raises:
        RuntimeError: it does not listen within twenty seconds.
    """
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:  # a log line a request
        try:
            if cpu is not None and hasattr(os, "sched_setaffinity"):
                cpus = sorted(os.sched_getaffinity(0))
                os.sched_setaffinity(process.pid, {cpus[cpu % len(cpus)]})
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            else:
                raise RuntimeError(f"nothing listens on port {port}; to see why, run: {shlex.join(command)}")
            yield process.pid
        finally:
            process.terminate()


def cpu_s(pid: int) -> float:
    """Seconds of CPU that the threads of a process used so far, to the nanosecond (/proc/pid/task/tid/schedstat)."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in MB (proc(5), /proc/pid/statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
