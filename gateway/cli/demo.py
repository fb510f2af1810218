"""`gateway demo`: the gateway with small upstreams beside it, and switches to break them."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from demo.faults import UPSTREAMS, Mode
from demo.run import Ports, serve_demo
from demo.switches import DemoError, break_, list_faults, mend
from gateway.app import configure_logs, create_app
from gateway.cli.numbers import port as port_number
from gateway.config import Config, load

_CONFIG = Path(__file__).parents[2] / "demo" / "gateway.yaml"


def add_to(commands: Any) -> None:
    """Add the command and its own subcommands to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser("demo", help="serve the demo; break and mend its upstreams")
    parser.add_argument("--config", type=Path, default=_CONFIG, help="default: demo/gateway.yaml")
    parser.add_argument("--port", type=port_number, help="port of the gateway; default: server.port of the file")
    parser.add_argument(
        "--control-port", type=port_number, default=4100, help="port of the switches; the upstreams take the next five"
    )
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    broken = actions.add_parser("break", help="break an upstream, such as customers.graphql")
    broken.add_argument("target", help="customers.graphql, customers.rest, customers, …, or all")
    broken.add_argument("mode", nargs="?", default="error", choices=[*Mode], help="default: error")
    broken.set_defaults(run=_switch)
    mended = actions.add_parser("mend", help="mend an upstream")
    mended.add_argument("target", nargs="?", default="all", help="default: all")
    mended.set_defaults(run=_switch)
    actions.add_parser("faults", help="list what is broken").set_defaults(run=_switch)


def run(options: argparse.Namespace) -> int:
    """Serve upstreams and gateway until Ctrl-C.

    Raises:
        ConfigError: the file cannot be used.
        SchemaError: a module of its imports cannot be used.
    """
    first: int = options.control_port
    ports = Ports(control=first, **{name: first + n for n, name in enumerate(UPSTREAMS, 1)})
    urls = {f"{name.upper()}_URL": f"http://127.0.0.1:{getattr(ports, name)}" for name in UPSTREAMS}
    config = load(options.config, {**urls, **os.environ})
    configure_logs(config)
    port = config.server.port if options.port is None else options.port
    try:
        uvloop.run(_serve(config, port, ports))
    except OSError as error:
        print(f"{error}; is the demo running already?", file=sys.stderr)
        return 1
    return 0


async def _serve(config: Config, port: int, ports: Ports) -> None:
    app = create_app(config)
    settings = uvicorn.Config(
        app,
        host=config.server.host,
        port=port,
        http="httptools",
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )
    async with serve_demo(ports):
        await _Greeting(settings, _welcome(f"http://{config.server.host}:{port}")).serve()


class _Greeting(uvicorn.Server):
    """Says what to try once the socket is open, and takes Ctrl-C for a good end: uvicorn's own raises it once more."""

    def __init__(self, settings: uvicorn.Config, greeting: str) -> None:
        super().__init__(settings)
        self._greeting = greeting

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._greeting, flush=True)


def _welcome(url: str) -> str:
    return f"""
Breakwater is at {url}/graphql; Ctrl-C ends everything. To open in a browser:

   {url}/graphql   GraphiQL
   {url}/status    what is open, since when and why
   {url}/metrics   the figures that Prometheus reads

Three things to try:

1. Ask.
   curl -s {url}/graphql -H 'content-type: application/json' \\
     -d '{{"query": "{{ invoices(first: 3) {{ number total customer {{ name balance }} }} }}"}}'

2. Break the GraphQL of customers, and ask again: the same rows, over REST; extensions.upstreams says so.
   .venv/bin/gateway demo break customers.graphql

3. Take customers down, and ask again: the last good rows, and how old they are. Then ask what is open, and why:
   .venv/bin/gateway demo break customers down
   curl -s {url}/graphql -H 'content-type: application/json' \\
     -d '{{"query": "{{ upstreams {{ name status circuits {{ protocol state since reason nextProbeAt }} }} }}"}}'

   .venv/bin/gateway demo mend    puts everything right.
"""


def _switch(options: argparse.Namespace) -> int:
    control_url = f"http://127.0.0.1:{options.control_port}"
    try:
        if options.action == "break":
            break_(options.target, options.mode, control_url=control_url)
            print(f"{options.target} is broken: {options.mode}")
        elif options.action == "mend":
            mend(options.target, control_url=control_url)
            print(f"{options.target} is mended")
        else:
            _print_faults(control_url)
    except DemoError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _print_faults(control_url: str) -> None:
    for name, state in list_faults(control_url=control_url).items():
        print(f"{name:12} {'down' if state['down'] else state['url']}")
        for protocol, line in state["protocols"].items():
            mode = line["fault"]["mode"] if line["fault"] else "well"
            print(f"  {protocol:10} {mode:12} {line['requests']} requests, {line['failed']} failed")
