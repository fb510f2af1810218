"""A slice of the matrix that runs with every check: counts and correctness, not times, for the machine may be busy."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from tests.faults.drills import drills, hang_ups, misses, sigterm
from tests.faults.figures import Figures
from tests.faults.report import Measured
from tests.faults.rows import Circumstances, Row, rows
from tests.faults.script import run
from tests.faults.world import merged
from tests.testkit.certificates import make_certificates

_COLD_ALL = Circumstances(warm=False, everything=True)
_WARM_ONE = Circumstances(warm=True, everything=False)
_GENEROUS = {"timeout_s": 2.0, "breaker": {"failure_rate": None}}
_SLICE = {
    "refused": _WARM_ONE,
    "black hole: reads, never answers": _WARM_ONE,
    "reset mid-body": _COLD_ALL,
}


def missed(measured: Measured) -> list[str]:
    """What does not hold, of what is not about time."""
    return [
        f"{measured.row.name} ({measured.at}): {each.says} ({each.found(measured.figures)}); {measured.figures}"
        for each in measured.expectations
        if not each.timed and not each.holds(measured.figures)
    ]


def generous(row: Row) -> Row:
    """The row with times that a busy machine keeps, too."""
    top = merged(row.top, {"server": {"request_timeout_s": 5.0}})
    return dataclasses.replace(row, policy=merged(row.policy, _GENEROUS), top=top)


async def test_representative_rows_of_the_matrix_are_as_expected(tmp_path: Path) -> None:
    """One test for all, so that the gateways wait for their idle connections to close side by side."""
    table = {row.name: row for row in rows(make_certificates(tmp_path))}
    done = []
    for name, at in _SLICE.items():
        row = generous(table[name])
        measured = await run(row, at, tmp_path, requests=40)
        done.append((measured, Measured(row, at, measured.figures)))
    await asyncio.gather(*(measured.finish for measured, _ in done))
    assert [text for _, measured in done for text in missed(measured)] == []


@pytest.mark.parametrize(
    ("name", "drill"),
    [
        ("clients hang up by the hundred", partial(hang_ups, clients=120, places=40)),
        ("SIGTERM with 100 requests under way", partial(sigterm, requests=30)),
        ("1,000 concurrent misses of one row", partial(misses, crowd=200)),
    ],
)
async def test_drills_are_as_expected(name: str, drill: Callable[[Path], Awaitable[Figures]], tmp_path: Path) -> None:
    (full,) = [each for each in drills() if each.name == name]
    figures = await drill(tmp_path)
    scaled = {"answered": 1_000 / 200, "calls at once after it": 100 / 40}
    for key, factor in scaled.items():
        if key in figures.more:
            figures.more[key] *= factor
    assert missed(Measured(full, None, figures)) == []
