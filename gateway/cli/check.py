"""`gateway check`: everything that would keep the gateway from starting, without serving."""

import argparse
import asyncio
from pathlib import Path
from typing import Any

from clients.protocols.contract import check_documents
from gateway.cli.supergraph import find_supergraph, in_files
from gateway.config import Config, load
from gateway.federation.supergraph import parse_supergraph
from gateway.http.safelist import read_manifest
from gateway.runtime import lent_wire, load_schema
from schema.build import operations


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser("check", help="validate gateway.yaml and the schema")
    parser.add_argument("--config", type=Path, default=Path("gateway.yaml"), help="default: gateway.yaml")
    parser.add_argument(
        "--upstreams",
        action="store_true",
        help="also ask: check the declared documents against each upstream's schema, and compose subgraphs' own SDLs",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what is wrong; 0 when nothing is.

    Raises:
        ConfigError: the file cannot be used.
        SchemaError: a module of its imports cannot be used.
        SourceError: the supergraph, or a subgraph's SDL, cannot be had.
        FederationError: the supergraph is not usable.
        ManifestError: the safelist cannot be used.
    """
    config = load(options.config)
    declared = dict(operations(load_schema(config)))
    found = f"{_count(len(config.services), 'service')}, {_count(len(declared), 'operation')}"
    print(f"{options.config}: valid; {found}")
    if (safelist := config.persisted_queries.safelist) is not None:
        listed = read_manifest(Path(safelist.file))
        print(f"{safelist.file}: valid; {_count(len(listed.texts), 'identifier')}")
    if config.served_federation is not None and (options.upstreams or in_files(config)):
        subgraphs = parse_supergraph(find_supergraph(config).sdl).subgraphs.values()
        print(f"supergraph: valid; of {', '.join(subgraph.name for subgraph in subgraphs)}")
    if not options.upstreams:
        return 0
    return asyncio.run(_check_upstreams(config, [*declared.values()]))


async def _check_upstreams(config: Config, declared: list[Any]) -> int:
    wrong = 0
    for service in config.clients_services():
        asked = [o for o in declared if service.name in {o.service, *config.stand_ins(o.service)}]
        documents = [o for o in asked if o.graphql is not None]
        async with lent_wire(config, service.name) as wire:
            found = await check_documents(service, documents, wire=wire)
        for message in found:
            print(f"{service.name}: {message}")
        wrong += len(found)
        if documents and not found and service.graphql is not None:
            print(f"{service.name}: every document fits the schema of {service.graphql}")
    return 1 if wrong else 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
