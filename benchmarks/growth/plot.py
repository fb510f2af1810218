"""Curves of growth as an SVG file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

Curve: TypeAlias = tuple[str, Sequence[float], Sequence[float]]
"""What grows, its values, and the microseconds of CPU for each."""


def draw(curves: Sequence[Curve], file: Path) -> None:
    """One chart a curve, side by side; both axes logarithmic where the values span more than a decade.

    Needs matplotlib: `pip install -e '.[plots]'`.
    """
    import matplotlib as mpl  # noqa: PLC0415 - an extra, for whoever draws

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "growth"  # the same figures give the same file
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot  # noqa: PLC0415 - after its backend is chosen

    figure, charts = pyplot.subplots(1, len(curves), figsize=(3.2 * len(curves), 3), squeeze=False)
    for chart, (name, values, costs) in zip(charts[0], curves, strict=True):
        chart.plot(values, costs, marker="o", markersize=4, color="#1f6feb")
        if max(values) > 10 * min(values):
            chart.set_xscale("log")
            chart.set_yscale("log")
        else:
            chart.set_ylim(bottom=0)
        chart.set_xlabel(name)
        chart.grid(visible=True, alpha=0.3)
    charts[0][0].set_ylabel("µs of CPU for a request")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
