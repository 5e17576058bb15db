"""The figures: what the answers are while parts come and go."""

import functools

from matplotlib.figure import Figure

from kerascale.reporting.drawing import DASHES, Drawing, Palette
from kerascale.trust.explanation.result import Explanation

_WIDTH, _HEIGHT = 4.6, 3.6


def of_explanation(found: Explanation) -> list[Drawing]:
    """Deletion and insertion, a line for each method."""
    what = {
        "deletion": "parts taken away: lower is better",
        "insertion": "parts put onto the baseline: higher is better",
    }
    return [
        Drawing(name, title, functools.partial(_draw, found, name, title))
        for name, title in what.items()
    ]


def _draw(found: Explanation, name: str, title: str, palette: Palette) -> Figure:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    number = "minus distance" if found.is_regression else "mean probability"
    axes = figure.add_subplot(title=title, xlabel=f"share of {found.part}s")
    axes.set_ylabel(number)
    for place, method in enumerate(found.methods):
        axes.plot(
            method.curves.shares,
            getattr(method.curves, name),
            color=palette.series[place],
            linestyle=DASHES[place % len(DASHES)],
            label=method.title,
        )
    axes.plot(
        found.chance.shares,
        getattr(found.chance, name),
        color=palette.muted,
        linestyle=(0, (1, 4)),
        label="random order",
    )
    figure.legend(loc="outside lower center", ncols=2)
    return figure
