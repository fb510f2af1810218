"""Carry every attack out, and print or write the report: `python -m tests.attacks --write docs/attacks.md`."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.attacks.catalogue import attacks
from tests.attacks.cop import checks
from tests.attacks.report import carry_out, page
from tests.attacks.target import target


async def _report() -> tuple[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        async with target(Path(folder)) as attacked:
            await attacked.healthy()
            before = attacked.rss_bytes()
            outcomes = [await carry_out(attack, attacked) for attack in attacks()]
            cop = [(check.name, check.looks_for, await check.find(attacked)) for check in checks()]
            memory = (before, attacked.rss_bytes())
    failures = sum(bool(outcome.failed) for outcome in outcomes) + sum(bool(found) for *_, found in cop)
    return page(outcomes, cop, memory), failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="file to write the report to; default: standard output")
    options = parser.parse_args()
    text, failures = asyncio.run(_report())
    if options.write is None:
        sys.stdout.write(text)
    else:
        options.write.write_text(text)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
