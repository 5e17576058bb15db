"""The figures of a ladder: size against accuracy, and how long a request takes."""

import functools
from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from kerascale.compression.formats.rungs import LEVELS, RUNTIMES, TITLES
from kerascale.compression.ladder.result import Ladder, Row
from kerascale.reporting.drawing import DASHES, MARKERS, Drawing, Palette

_WIDTH, _HEIGHT = 4.6, 3.8
# A colour for each runtime, a marker for each level.
_MARKERS = dict(zip(LEVELS, MARKERS, strict=False))

Value = Callable[[Row], float]


def of_ladder(ladder: Ladder) -> list[Drawing]:
    """Size against what is lost, and size against latency at each batch size."""
    name = ladder.measure.title
    drawings = [
        Drawing(
            "size-quality",
            f"size against {name}, a line for each runtime",
            functools.partial(_draw_quality, ladder, name),
        )
    ]
    for size in ("1", "32"):
        what = "one example" if size == "1" else f"{size} examples"
        title = f"a request of {what}, microseconds"
        drawings.append(
            Drawing(
                f"latency-{size}",
                f"{title}, against size",
                functools.partial(_draw_latency, ladder, size, title),
            )
        )
    return drawings


def _draw_quality(ladder: Ladder, name: str, palette: Palette) -> Figure:
    metric = ladder.measure.key
    figure, axes = _figure(f"{name} on the {ladder.split} examples")
    _draw_runtimes(axes, ladder, lambda row: row.scores[metric], palette)
    limit = ladder.original[metric] + ladder.measure.sign * ladder.max_drop
    axes.axhline(limit, color=palette.ink, linestyle=":", label="limit")
    _legend(figure, axes, ladder, palette)
    return figure


def _draw_latency(ladder: Ladder, size: str, title: str, palette: Palette) -> Figure:
    figure, axes = _figure(title)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    plain = FuncFormatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(NullFormatter())
    _draw_runtimes(axes, ladder, lambda row: row.latency[size]["median"] * 1e6, palette)
    _legend(figure, axes, ladder, palette)
    return figure


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="kB")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.15)
    return figure, axes


def _draw_runtimes(axes: Axes, ladder: Ladder, value: Value, palette: Palette) -> None:
    for i, runtime in enumerate(RUNTIMES):
        rows = sorted(
            (row for row in ladder.rows if row.rung.runtime == runtime),
            key=lambda row: row.size,
        )
        if not rows:
            continue
        sizes, values = [r.size / 1e3 for r in rows], [value(r) for r in rows]
        color = palette.series[i]
        axes.plot(
            sizes,
            values,
            color=color,
            linestyle=DASHES[i],
            linewidth=1.2,
            label=TITLES[runtime],
        )
        for row, x, y in zip(rows, sizes, values, strict=True):
            marker = _MARKERS[row.rung.level]
            axes.plot(x, y, color=color, marker=marker, linestyle="", markersize=6)


def _legend(figure: Figure, axes: Axes, ladder: Ladder, palette: Palette) -> None:
    handles, labels = axes.get_legend_handles_labels()
    there = {row.rung.level for row in ladder.rows}
    for level, marker in _MARKERS.items():
        if level in there:
            handles.append(
                Line2D([], [], color=palette.ink, marker=marker, linestyle="")
            )
            labels.append(level)
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, columnspacing=1.0
    )
