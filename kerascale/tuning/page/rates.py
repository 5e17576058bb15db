"""The page about a learning-rate range test."""

import functools

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from kerascale.reporting.drawing import Drawing, Palette
from kerascale.reporting.fill_template import fill
from kerascale.tuning.find_learning_rate import RateFound, text


def render(found: RateFound, recipe: str, batch_size: int) -> str:
    """The page.

    Args:
        found: What the test has found.
        recipe: The recipe's name.
        batch_size: Examples in each batch.
    """
    drawing = Drawing(
        "range-test",
        "the smoothed loss of each batch over the learning rate",
        functools.partial(_draw, found),
    )
    return fill(
        "rates.html",
        package="kerascale.tuning.page",
        title=f"learning rate: {recipe}",
        recipe=recipe,
        batch_size=batch_size,
        found=found,
        figures=[drawing],
        text=text(found),
    )


def _draw(found: RateFound, palette: Palette) -> Figure:
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.add_subplot(title="loss, smoothed", xlabel="learning rate")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.plot(found.rates, found.losses, color=palette.series[0], linewidth=1.5)
    marks = {
        "falls fastest": found.steepest,
        "smallest loss": found.smallest,
        "suggested": found.suggested,
    }
    for place, (name, rate) in enumerate(marks.items(), 1):
        label = f"{name}: {rate:.1e}"
        color = palette.series[place]
        axes.axvline(
            rate, color=color, linestyle=("--", ":", "-")[place - 1], label=label
        )
    # What came when it blew up would hide the rest.
    low, first = min(found.losses), found.losses[0]
    axes.set_ylim(low - 0.05 * abs(first), max(first * 1.3, low + 0.1))
    figure.legend(loc="outside lower center", ncols=2, columnspacing=1.0)
    return figure
