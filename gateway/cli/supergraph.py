"""`gateway compose`, `plan` and `explain`: what the federation engine would serve, and how it would answer."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gateway.app import load_config
from gateway.checks import subgraph_routes
from gateway.config import Config, ConfigError, is_url
from gateway.federation.engine import FederationEngine
from gateway.federation.errors import InvalidDocument, PlanningError
from gateway.federation.executor import SubgraphRequest, SubgraphResponse
from gateway.federation.executor.compiled import Prepared, describe
from gateway.federation.rest_routes import require_routes
from gateway.federation.source import Fetched, SourceError, find_source
from gateway.federation.supergraph import derive_api_schema, parse_supergraph
from gateway.http.documents import DocumentCache
from gateway.http.errors import RequestError
from gateway.local_execution import LocalSchema
from gateway.local_execution import describe as describe_local
from gateway.runtime import lent_wire, load_schema
from gateway.yaml_source import Finding
from schema.build import core_schema


def add_to(commands: Any) -> None:
    """Add the commands to the parser."""
    compose: argparse.ArgumentParser = commands.add_parser("compose", help="compose the subgraphs of gateway.yaml")
    compose.add_argument("--config", type=Path, default=Path("gateway.yaml"), help="default: gateway.yaml")
    compose.add_argument("--output", type=Path, help="file to write; default: standard output")
    compose.set_defaults(run=_compose)
    plan: argparse.ArgumentParser = commands.add_parser("plan", help="print the plan of an operation")
    _add_operation(plan)
    plan.set_defaults(run=_plan)
    explain: argparse.ArgumentParser = commands.add_parser(
        "explain", help="print the plan of an operation, and what it is compiled to or why it is not"
    )
    _add_operation(explain)
    explain.add_argument(
        "--on", action="append", default=[], metavar="VARIABLE", help="a condition's variable that is true; repeatable"
    )
    explain.set_defaults(run=_explain)


def _add_operation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, help="default: gateway.yaml, unless --supergraph is given")
    parser.add_argument("--supergraph", help="file or URL of a supergraph SDL")
    parser.add_argument("--operation", help="its name, when the file has several")
    parser.add_argument("--label", action="append", default=[], help="an override label that is on; may be repeated")
    parser.add_argument("query", type=Path, help="file with the operation")


def find_supergraph(config: Config) -> Fetched:
    """The supergraph of a configuration, composed where it is not made already, and known to be usable.

    Raises:
        ConfigError: the configuration asks for none.
        SourceError: it cannot be had.
        SupergraphError: it is not usable, or REST routes of the configuration do not fit it.
    """
    if config.served_federation is None:
        raise ConfigError("gateway.yaml", [Finding(("federation",), "asks for no supergraph; add subgraphs to it")])
    schema = load_schema(config)
    found = asyncio.run(find_source(config, schema, partial(lent_wire, config)).fetch())
    if found is None:
        raise SourceError("the source has no supergraph")
    model = parse_supergraph(found.sdl)
    derive_api_schema(model)
    require_routes(subgraph_routes(schema, config), model)
    return found


def in_files(config: Config) -> bool:
    """Whether the supergraph can be found without asking anybody."""
    graph = config.federation.supergraph if config.federation is not None else None
    if graph is not None:
        return not is_url(graph)
    return all(s.subgraph.sdl is not None for s in config.services.values() if s.subgraph is not None)


def require_supergraph(config: Config) -> None:
    """Raise what would keep the gateway from starting, before a socket is opened."""
    federation = config.served_federation
    if federation is None:
        return
    if federation.last_good is None or not Path(federation.last_good).exists():
        find_supergraph(config)


def _compose(options: argparse.Namespace) -> int:
    found = find_supergraph(load_config(options.config))
    if options.output is None:
        print(found.sdl)
        return 0
    try:
        options.output.write_text(found.sdl, encoding="utf-8")
    except OSError as error:
        print(f"{options.output}: cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{options.output}: written, from {found.origin}", file=sys.stderr)
    return 0


def _plan(options: argparse.Namespace) -> int:
    return _planned(options, lambda prepared: str(prepared.plan))


def _explain(options: argparse.Namespace) -> int:
    config = load_config(options.config, options.supergraph)
    if config.served_federation is None:
        return _printed(options, lambda text: _explained_locally(config, text, options))

    def explained(prepared: Prepared) -> str:
        program = prepared.program(dict.fromkeys(options.on, True))
        how = f"plain executor: {program}" if isinstance(program, str) else f"compiled\n{describe(program)}"
        return f"{prepared.plan}\n\n{how}"

    return _planned(options, explained)


def _explained_locally(config: Config, text: str, options: argparse.Namespace) -> str:
    """What an operation on this process's own schema is compiled to."""
    schema = load_schema(config)
    document = DocumentCache(core_schema(schema), introspection=True).get(text)
    operation = document.operation(options.operation)
    prepared = LocalSchema(schema, hide_suggestions=False).prepared(document, operation)
    program = prepared.program({name: name in options.on for name in prepared.conditional})
    return f"graphql-core: {program}" if isinstance(program, str) else f"compiled\n{describe_local(program)}"


def _planned(options: argparse.Namespace, show: Callable[[Prepared], str]) -> int:
    found = find_supergraph(load_config(options.config, options.supergraph))
    engine = FederationEngine(found.sdl, _Nowhere())
    return _printed(options, lambda text: show(engine.prepared(text, options.operation, frozenset(options.label))))


def _printed(options: argparse.Namespace, show: Callable[[str], str]) -> int:
    """Print what is shown of the file with the operation, or what is wrong with it."""
    try:
        print(show(options.query.read_text(encoding="utf-8")))
    except OSError as error:
        print(f"{options.query}: cannot be read: {error.strerror}", file=sys.stderr)
    except UnicodeDecodeError:
        print(f"{options.query}: is not UTF-8 text", file=sys.stderr)
    except InvalidDocument as error:
        for one in error.errors:
            at = f"line {one.locations[0].line}: " if one.locations else ""
            print(f"{options.query}: {at}{one.message}", file=sys.stderr)
    except RequestError as error:
        for entry in error.errors:
            at = f"line {entry['locations'][0]['line']}: " if entry.get("locations") else ""
            print(f"{options.query}: {at}{entry['message']}", file=sys.stderr)
    except PlanningError as error:
        print(f"{options.query}: {error}", file=sys.stderr)
    else:
        return 0
    return 1


class _Nowhere:
    """Planning sends nothing."""

    async def fetch(self, request: SubgraphRequest) -> SubgraphResponse:
        raise NotImplementedError(request.subgraph)
