"""`gateway config-schema`: the JSON Schema of gateway.yaml, for editors."""

import argparse
import json
from typing import Any

from gateway.reference import json_schema


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser("config-schema", help="print the JSON Schema of gateway.yaml")
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> None:
    """Print the schema."""
    print(json.dumps(json_schema(), indent=2))
