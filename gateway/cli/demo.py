"""`gateway demo`: the gateway with small upstreams beside it, and switches to break them."""

import argparse
from typing import Any


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser("demo", help="serve the demo; break and mend its upstreams")
    parser.set_defaults(run=lambda _: 0)
