"""`gateway serve`: the gateway on a socket."""

import argparse
import math
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
import uvicorn
from uvicorn.supervisors import Multiprocess

from gateway import collector
from gateway.app import (
    CONFIG_VARIABLE,
    SUPERGRAPH_VARIABLE,
    WORKER_COUNT_VARIABLE,
    WORKERS_VARIABLE,
    configure_logs,
    create_app,
    load_config,
)
from gateway.cli.numbers import count, port
from gateway.cli.supergraph import require_supergraph
from gateway.http.protocol import guarded
from gateway.subscriptions.server import WebSocketProtocol

# uvloop accepts one connection a socket in each turn of its loop: while it lags, clients could not even be refused.
_ACCEPTED_IN_A_TURN = 64
# Of several workers the first to wake would take them all, and keep them: with few a turn they share evenly.
_ACCEPTED_IN_A_TURN_OF_SEVERAL = 4


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser("serve", help="serve GraphQL on a socket")
    parser.add_argument("--config", type=Path, help="default: gateway.yaml, unless --supergraph is given")
    parser.add_argument("--supergraph", help="file or URL of a supergraph SDL; alone it is enough")
    parser.add_argument("--host", help="address to listen on; default: server.host of the file")
    parser.add_argument("--port", type=port, help="port to listen on; default: server.port of the file")
    parser.add_argument("--workers", type=count, default=1, help="processes that share the socket; default: 1")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Serve until the process is told to stop.

    Raises:
        ConfigError: the file cannot be used.
        SchemaError: a module of its imports cannot be used.
        SourceError: there is no supergraph to start with.
        FederationError: the supergraph is not usable.
    """
    config = load_config(options.config, options.supergraph)
    configure_logs(config)
    require_supergraph(config)
    collector.tune()
    app = create_app(config, on_settled=collector.settle)
    host = options.host or config.server.host
    port = config.server.port if options.port is None else options.port
    structlog.get_logger("gateway").info("starting", host=host, port=port, workers=options.workers)
    # Worker processes build the application themselves, from the same arguments.
    os.environ[CONFIG_VARIABLE] = str(options.config or "")
    os.environ[SUPERGRAPH_VARIABLE] = options.supergraph or ""
    settings = uvicorn.Config(
        app if options.workers == 1 else "gateway.app:from_environment",
        factory=options.workers != 1,
        host=host,
        port=port,
        workers=options.workers,
        loop="uvloop",
        http=guarded(config.server.header_timeout_s, config.server.max_header_bytes),
        ws=WebSocketProtocol,
        ws_max_size=config.server.max_body_bytes,
        ws_ping_interval=config.subscriptions.keep_alive_s,
        ws_ping_timeout=config.subscriptions.keep_alive_s,
        ws_per_message_deflate=False,  # 40 kB and more for each connection, to make small messages smaller
        access_log=False,
        log_config=None,  # what it says goes into our log
        proxy_headers=False,  # whose word is taken for who the client is, is `identity`'s to say
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=math.ceil(config.server.shutdown_timeout_s),
    )
    server = uvicorn.Server(settings)
    bound = settings.bind_socket()
    accepted = _ACCEPTED_IN_A_TURN if options.workers == 1 else _ACCEPTED_IN_A_TURN_OF_SEVERAL
    sockets = [bound, *(bound.dup() for _ in range(accepted - 1))]
    # Having stopped in order, the server raises the signal again that told it to: that is no failure.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    with suppress(KeyboardInterrupt):
        if options.workers == 1:
            server.run(sockets)
            if not server.started:
                sys.exit(3)  # as uvicorn.run does
        else:
            with TemporaryDirectory(prefix="breakwater-") as workers:
                os.environ[WORKERS_VARIABLE] = workers
                os.environ[WORKER_COUNT_VARIABLE] = str(options.workers)
                _Workers(settings, sockets=sockets).run()


class _Workers(Multiprocess):
    """The worker processes and the one that looks after them."""

    def terminate_all(self) -> None:
        """Tell the workers to stop. This process's sockets would go on taking connections that nobody answers."""
        super().terminate_all()
        for listening in self.sockets:
            listening.close()
