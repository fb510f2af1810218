"""`gateway serve`, on a clock whose wall time jumps: SIGUSR1 an hour forth, SIGUSR2 two hours back.

Wall time reaches the gateway through its clock alone, which is an argument; so this needs no trick with the machine's.
"""

import argparse
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn

from clients.clock import SystemClock
from gateway.app import configure_logs, create_app, load_config


class JumpingClock(SystemClock):
    """The machine's clock, with the time people read set forth and back."""

    def __init__(self) -> None:
        self._by = timedelta()
        signal.signal(signal.SIGUSR1, lambda *_: self._jump(timedelta(hours=1)))
        signal.signal(signal.SIGUSR2, lambda *_: self._jump(timedelta(hours=-2)))

    def wall(self) -> datetime:
        """The time people read, in UTC."""
        return datetime.now(UTC) + self._by

    def _jump(self, by: timedelta) -> None:
        self._by += by


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    config = load_config(options.config)
    configure_logs(config)
    uvicorn.run(create_app(config, clock=JumpingClock()), port=options.port, loop="uvloop", log_level="warning")


if __name__ == "__main__":
    main()
