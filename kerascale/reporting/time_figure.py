"""The figure of where the time of a run went."""

import functools
from collections.abc import Mapping

from matplotlib.figure import Figure

from kerascale.reporting.drawing import Drawing, Palette
from kerascale.reporting.run_record import Recorded

_WIDTH, _HEIGHT = 4.6, 2.8


def time_of(run: Recorded) -> Drawing | None:
    """A bar for each part; None where it was not recorded."""
    total = sum(run.parts.values())
    if total <= 0:
        return None
    shares = {name: seconds / total for name, seconds in run.parts.items()}
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    return Drawing(
        "time",
        f"where the time of the run went: {told}",
        functools.partial(_draw, run.parts, shares),
    )


def _draw(
    parts: Mapping[str, float], shares: Mapping[str, float], palette: Palette
) -> Figure:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot(title="where the time went", xlabel="seconds")
    names = list(parts)
    bars = axes.barh(range(len(names)), list(parts.values()), color=palette.series[0])
    axes.bar_label(
        bars, [f"{100 * shares[name]:.0f} %" for name in names], padding=2, fontsize=8
    )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.grid(False, axis="y")
    return figure
