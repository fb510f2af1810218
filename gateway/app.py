"""The gateway as an ASGI application: made of a configuration, or of what the environment names."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from clients.clock import Clock, SystemClock
from gateway import collector
from gateway.assembly import Assembly
from gateway.config import Config, ConfigError, FederationConfig, load
from gateway.draining import closing
from gateway.runtime import Wires, pyreqwest_wire
from gateway.telemetry import logs
from gateway.yaml_source import Finding

CONFIG_VARIABLE = "BREAKWATER_CONFIG"
SUPERGRAPH_VARIABLE = "BREAKWATER_SUPERGRAPH"
WORKERS_VARIABLE = "BREAKWATER_WORKERS"
WORKER_COUNT_VARIABLE = "BREAKWATER_WORKER_COUNT"


_GRAPHQL = "/graphql"


class Application(Starlette):
    """Starlette, but for the endpoint, which needs nothing of what a framework does around a route.

    That costs a third of a small query. The endpoint's route is there as well, for root paths. Nothing is redirected:
    the address would be made of what the client says its host is.
    """

    def __init__(self, assembly: Assembly) -> None:
        self._endpoint = assembly.endpoint()
        self._draining = assembly.draining
        graphql = [Route(_GRAPHQL, self._endpoint), WebSocketRoute(_GRAPHQL, assembly.sockets())]
        handlers = {HTTPException: assembly.envelope.not_routed}
        super().__init__(routes=[*graphql, *assembly.routes()], lifespan=assembly.lifespan, exception_handlers=handlers)
        self.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if self._draining.active and scope["type"] == "http":
            send = closing(send)
        if scope["type"] == "http" and scope["path"] == _GRAPHQL:
            await self._endpoint(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    config: Config,
    *,
    wires: Wires = pyreqwest_wire,
    clock: Clock | None = None,
    random: Random | None = None,
    on_settled: Callable[[], None] = lambda: None,
    workers: Path | None = None,
    worker_count: int = 1,
) -> Application:
    """The gateway as an ASGI application.

    Args:
        config: as `gateway.config.load` gives it.
        wires: how upstreams are reached; pyreqwest by default.
        clock: all time comes from it.
        random: all jitter comes from it.
        on_settled: called when what lives long has been built, and again when a supergraph has been replaced.
        workers: the folder of the processes that serve together, if there are several.
        worker_count: how many they are.

    Raises:
        SchemaError: a module of `imports` cannot be used.
        ConfigError: the schema's operations do not fit the services.
        ManifestError: the safelist cannot be used.
    """
    return Application(
        Assembly(
            config,
            wires=wires,
            clock=clock or SystemClock(),
            random=random or Random(),
            on_settled=on_settled,
            workers=workers,
            worker_count=worker_count,
        )
    )


def load_config(file: Path | None, supergraph: str | None = None) -> Config:
    """The configuration of a file, of a supergraph alone with defaults, or of both: then the supergraph is this one.

    Args:
        file: default: gateway.yaml, unless a supergraph is given.
        supergraph: file or URL.

    Raises:
        ConfigError: it cannot be used.
    """
    if supergraph is None:
        return load(file or Path("gateway.yaml"))
    config = Config() if file is None else load(file)
    base = config.federation or FederationConfig(local=None)
    if base.as_subgraph:
        message = "is a subgraph itself and serves no supergraph; remove it, or --supergraph"
        raise ConfigError(str(file), [Finding(("federation", "as_subgraph"), message)])
    return msgspec.structs.replace(config, federation=msgspec.structs.replace(base, supergraph=supergraph))


def from_environment() -> Application:
    """The application that BREAKWATER_CONFIG and BREAKWATER_SUPERGRAPH name; what each worker process builds."""
    file = os.environ.get(CONFIG_VARIABLE)
    config = load_config(Path(file) if file else None, os.environ.get(SUPERGRAPH_VARIABLE) or None)
    configure_logs(config)
    collector.tune()
    workers = os.environ.get(WORKERS_VARIABLE)
    count = int(os.environ.get(WORKER_COUNT_VARIABLE) or 1)
    folder = Path(workers) if workers else None
    return create_app(config, on_settled=collector.settle, workers=folder, worker_count=count)


def configure_logs(config: Config) -> None:
    """Set logging up as the configuration says."""
    chosen = config.log.format or ("console" if config.development else "json")
    told = config.log.exception_messages
    told = config.development if told is None else told
    logs.configure(json=chosen == "json", level=config.log.level, mask=config.log.mask, exception_messages=told)
    logs.adopt(config.log.level, exception_messages=told)
