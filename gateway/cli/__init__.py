"""The `gateway` command."""

import argparse
import sys
from collections.abc import Sequence

from gateway.cli import check, config_schema, demo, persist, serve, supergraph
from gateway.config import ConfigError
from gateway.federation.errors import FederationError
from gateway.federation.source import SourceError
from gateway.http.safelist import ManifestError
from schema.build import SchemaError

_COMMANDS = (serve, check, supergraph, persist, config_schema, demo)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0 for success and 1 for a configuration that cannot be used."""
    parser = argparse.ArgumentParser(prog="gateway", description="Breakwater, a GraphQL federation gateway.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except (ConfigError, SchemaError, SourceError, FederationError, ManifestError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
