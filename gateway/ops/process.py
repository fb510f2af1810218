"""This process among those that serve: its name, and what it needs of its machine."""

import importlib.metadata
import os
import platform
import resource
import socket
import sys
from pathlib import Path

from gateway.telemetry.loop_lag import LoopLag

_STATM = Path("/proc/self/statm")  # Linux only
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage(2) differs


class Process:
    """Knows itself.

    Args:
        lag: of its event loop.
        workers: processes that share its socket.
    """

    def __init__(self, lag: LoopLag | None = None, workers: int = 1) -> None:
        self._lag = lag or LoopLag()
        self.workers = workers
        self.instance = os.urandom(6).hex()
        """A name that no other process has, nor this one after a restart."""
        self.pid = os.getpid()
        self.host = socket.gethostname()
        self.version = importlib.metadata.version("breakwater")
        self.python_version = platform.python_version()

    @property
    def lag_s(self) -> float:
        """How late the loop was at the last look."""
        return self._lag.last_s

    @property
    def max_lag_s(self) -> float:
        """How late it was at the worst."""
        return self._lag.max_s

    @staticmethod
    def memory_bytes() -> int | None:
        """Memory in use; None where the system does not tell."""
        try:
            return int(_STATM.read_text().split()[1]) * resource.getpagesize()
        except (OSError, ValueError, IndexError):
            return None

    @staticmethod
    def peak_memory_bytes() -> int | None:
        """The most it ever had in use; None where the system does not tell."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT or None
