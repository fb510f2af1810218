"""Run the matrix and write its page: `python -m tests.faults [--only TEXT] [--at TEXT] [--write FILE]`."""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from tests.faults.drills import Drill, drills
from tests.faults.figures import Figures
from tests.faults.report import Measured, page
from tests.faults.rows import ALL_CIRCUMSTANCES, Circumstances, Row, rows
from tests.faults.script import run
from tests.testkit.certificates import make_certificates


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument(
        "--at", default="", help="circumstances that contain this, such as 'warm, one'; leaves out drills"
    )
    parser.add_argument("--write", type=Path, help="the page; default: the terminal alone")
    options = parser.parse_args(arguments)
    began, load = time.monotonic(), os.getloadavg()[0]
    measured = uvloop.run(_run_all(options.only, options.at))
    missed = sum(bool(each.missed) for each in measured)
    _say(f"{len(measured)} rows in {(time.monotonic() - began) / 60:.1f} minutes, {missed} with a miss")
    if options.write is not None:
        options.write.write_text(page(measured, load=load), encoding="utf-8")


async def _run_all(only: str, which: str) -> list[Measured]:
    with tempfile.TemporaryDirectory(prefix="breakwater-faults-") as name:
        folder = Path(name)
        table = rows(make_certificates(folder))
        runs = [await _run_row(row, at, folder) for row in table if only in row.name for at in _circumstances(which)]
        found = list(await asyncio.gather(*runs))
        if not which:
            found += [await _run_drill(drill, folder) for drill in drills() if only in drill.name]
        return found


def _circumstances(which: str) -> list[Circumstances]:
    return [at for at in ALL_CIRCUMSTANCES if which in str(at)]


async def _run_row(row: Row, at: Circumstances, folder: Path) -> "asyncio.Task[Measured]":
    """Run a row; what it measured is there once its gateway, idle by then, has been looked at."""
    try:
        done = await run(row, at, folder)
    except Exception as error:  # noqa: BLE001 - one row that cannot be run must not hide the others
        figures, trouble = Figures(), f"{type(error).__name__}: {error}"
        finish = asyncio.create_task(asyncio.sleep(0))
    else:
        figures, trouble, finish = done.figures, "", done.finish

    async def measured() -> Measured:
        try:
            await finish
        except Exception as error:  # noqa: BLE001 - likewise
            return _said(Measured(row, at, figures, f"{type(error).__name__}: {error}"))
        return _said(Measured(row, at, figures, trouble))

    return asyncio.create_task(measured())


async def _run_drill(drill: Drill, folder: Path) -> Measured:
    try:
        return _said(Measured(drill, None, await drill.run(folder)))
    except Exception as error:  # noqa: BLE001 - likewise
        return _said(Measured(drill, None, Figures(), f"{type(error).__name__}: {error}"))


def _said(measured: Measured) -> Measured:
    """Say on the terminal how it went."""
    where = f" ({measured.at})" if measured.at else ""
    _say(f"{'MISSED' if measured.missed else 'met   '} {measured.row.name}{where}")
    for text in measured.missed:
        _say(f"         {text}")
    return measured


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
