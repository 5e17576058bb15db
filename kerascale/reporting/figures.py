"""The figures of a run: curves over epochs, and the confusion matrix."""

import dataclasses
import functools
import re
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from kerascale.reporting.drawing import DASHES, MARKERS, Drawing, Palette
from kerascale.reporting.run_record import Recorded

# As wide as a phone, so that text on it is not scaled down.
_WIDTH, _HEIGHT = 4.6, 3.2
_MOST_MARKERS = 12
# Beyond these, numbers cannot be read in a confusion matrix, nor its cells.
MOST_CLASSES_WITH_NUMBERS = 20
MOST_CLASSES = 60
_LONGEST_NAME = 14

Curve = Sequence[tuple[int, float]]


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a figure.

    Args:
        label: Its name in the legend.
        curve: (epoch, value) pairs.
    """

    label: str
    curve: Curve


def curves_of(run: Recorded) -> list[Drawing]:
    """The loss, each metric, and the learning rate."""
    drawings = []
    for name in run.metrics:
        lines = [
            Line("training", run.curve(name)),
            Line("validation", run.curve(f"val_{name}")),
        ]
        drawings.append(_curves(name, lines, best=run.best_epoch))
    rate = [Line("learning rate", run.curve("learning_rate"))]
    if rate[0].curve:
        drawings.append(_curves("learning rate", rate))
    return drawings


def curves_over_each_other(
    runs: Sequence[Recorded], labels: Sequence[str]
) -> list[Drawing]:
    """One figure for each number that was recorded over epochs, a line for each run."""
    names = list(dict.fromkeys(name for run in runs for name in run.metrics))
    recorded = [name for metric in names for name in (metric, f"val_{metric}")]
    drawings = []
    for name in [*recorded, "learning_rate"]:
        lines = [
            Line(label, run.curve(name))
            for run, label in zip(runs, labels, strict=True)
        ]
        if any(line.curve for line in lines):
            drawings.append(_curves(title_of(name), lines))
    return drawings


def title_of(name: str) -> str:
    """What a recorded number is, in words."""
    if name.startswith("val_"):
        return f"{name.removeprefix('val_')}, validation"
    return "learning rate" if name == "learning_rate" else f"{name}, training"


def _curves(title: str, lines: Sequence[Line], *, best: int | None = None) -> Drawing:
    lines = [line for line in lines if line.curve]
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "metric"
    drawn = ", ".join(line.label for line in lines)
    return Drawing(
        f"curve-{name}",
        f"{title} over epochs: {drawn}",
        functools.partial(_draw_curves, title, lines, best),
    )


def _draw_curves(
    title: str, lines: Sequence[Line], best: int | None, palette: Palette
) -> Figure:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="epoch")
    for i, line in enumerate(lines):
        epochs, values = zip(*line.curve, strict=True)
        axes.plot(
            epochs,
            values,
            color=palette.series[i % len(palette.series)],
            linestyle=DASHES[i % len(DASHES)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=4,
            markevery=max(1, len(epochs) // _MOST_MARKERS),
            linewidth=1.5,
            label=line.label,
        )
    if best is not None:
        # Named in the legend: beside the line it would hide a curve.
        label = f"best epoch: {best}"
        axes.axvline(best, color=palette.muted, linestyle=":", label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if len(lines) > 1 or best is not None:
        figure.legend(
            loc="outside lower center",
            ncols=min(4, len(lines) + (best is not None)),
            columnspacing=1.0,
        )
    return figure


def confusion_of(run: Recorded) -> Drawing | None:
    """The confusion matrix; None if there is none, or it has too many classes."""
    matrix = (run.evaluation or {}).get("confusion_matrix")
    if not matrix or len(matrix) > MOST_CLASSES:
        return None
    names = list(run.evaluation["per_class"])
    return Drawing(
        "confusion-matrix",
        f"confusion matrix of {len(names)} classes; rows: true, columns: predicted",
        functools.partial(_draw_confusion, matrix, names),
    )


def _draw_confusion(
    matrix: Sequence[Sequence[int]], names: Sequence[str], palette: Palette
) -> Figure:
    count = len(names)
    with_numbers = count <= MOST_CLASSES_WITH_NUMBERS
    short = [_shortened(name) for name in names]
    longest = max(map(len, short))
    side = max(3.4, count * (0.31 if with_numbers else 0.16)) + 0.07 * longest
    figure = Figure(figsize=(side + 0.6, side + 0.4), layout="constrained")
    axes = figure.add_subplot(xlabel="predicted class", ylabel="true class")
    for i, row in enumerate(matrix):
        total = sum(row) or 1
        for j, number in enumerate(row):
            if not number:
                continue
            is_right = i == j
            axes.add_patch(
                Rectangle(
                    (j - 0.5, i - 0.5),
                    1,
                    1,
                    facecolor=palette.series[0 if is_right else 1],
                    # Never so dark that the number on it cannot be read.
                    alpha=0.08 + 0.42 * number / total,
                )
            )
            if with_numbers:
                weight = "bold" if is_right else "normal"
                axes.text(j, i, number, ha="center", va="center", weight=weight)
    axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5), aspect="equal")
    axes.set_xticks(range(count), short, rotation=90 if longest > 2 else 0)
    axes.set_yticks(range(count), short)
    axes.tick_params(length=0, labelsize=9 if with_numbers else 6)
    axes.grid(False)
    return figure


def _shortened(name: str) -> str:
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 1]}…"
