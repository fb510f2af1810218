"""`gateway serve`: the gateway on a socket."""

import argparse
import os
from pathlib import Path
from typing import Any

import uvicorn

from gateway.app import CONFIG_VARIABLE, configure_logs, create_app
from gateway.config import load


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser("serve", help="serve GraphQL on a socket")
    parser.add_argument("--config", type=Path, default=Path("gateway.yaml"), help="default: gateway.yaml")
    parser.add_argument("--host", help="address to listen on; default: server.host of the file")
    parser.add_argument("--port", type=int, help="port to listen on; default: server.port of the file")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the socket; default: 1")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Serve until the process is told to stop.

    Raises:
        ConfigError: the file cannot be used.
        SchemaError: a module of its imports cannot be used.
    """
    config = load(options.config)
    configure_logs(config)
    app = create_app(config)
    os.environ[CONFIG_VARIABLE] = str(options.config)
    uvicorn.run(
        app if options.workers == 1 else "gateway.app:from_environment",
        factory=options.workers != 1,
        host=options.host or config.server.host,
        port=config.server.port if options.port is None else options.port,
        workers=options.workers,
        loop="uvloop",
        http="httptools",
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=30,
    )
