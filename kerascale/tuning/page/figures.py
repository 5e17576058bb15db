"""The figures of a search: scores, what decides them, coordinates, learning curves."""

import functools
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from kerascale.reporting.drawing import DASHES, Drawing, Palette
from kerascale.tuning.result import Found, Trial

_WIDTH, _HEIGHT = 4.6, 3.2
# Letters as large as those of three figures beside one another.
_WIDE = 12.0
# Of an upright.
_MOST_LABELS, _LONGEST = 10, 16
# Besides the best one; more lines cannot be told apart.
_MOST_NAMED = 4


def of_search(found: Found) -> list[Drawing]:
    """All figures of a search, as far as there is something to draw."""
    drawings = []
    scored = [trial for trial in found.trials if trial.score is not None]
    if scored:
        drawings.append(
            Drawing(
                "scores",
                f"{found.search.objective.name} of each trial, and the best until then",
                functools.partial(_draw_scores, found),
            )
        )
    if found.importances:
        drawings.append(
            Drawing(
                "importance",
                "what decided the score, by field",
                functools.partial(_draw_importances, found),
            )
        )
    if any(len(trial.curve) > 1 for trial in found.trials):
        drawings.append(
            Drawing(
                "learning-curves",
                "learning curves of all trials; pruned ones end early",
                functools.partial(_draw_curves, found),
            )
        )
    if scored:
        drawings.append(
            Drawing(
                "coordinates",
                "parallel coordinates: the values of each trial, and its score",
                functools.partial(_draw_coordinates, found),
                is_wide=len(found.search.dimensions) > 2,
            )
        )
    return drawings


def _draw_scores(found: Found, palette: Palette) -> Figure:
    objective = found.search.objective
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot(title=f"{objective.name} of each trial", xlabel="trial")
    complete = [t for t in found.trials if t.score is not None]
    pruned = [t for t in found.trials if t.kind == "pruned" and t.curve]
    axes.plot(
        [t.number for t in complete],
        [t.score for t in complete],
        linestyle="",
        marker="o",
        markersize=5,
        color=palette.series[0],
        label="complete",
    )
    if pruned:
        axes.plot(
            [t.number for t in pruned],
            [list(t.curve.values())[-1] for t in pruned],
            linestyle="",
            marker="X",
            markersize=5,
            color=palette.muted,
            label="pruned there",
        )
    best, line = math.inf if objective.mode == "min" else -math.inf, []
    for trial in complete:
        if objective.is_better(trial.score, best):
            best = trial.score
        line.append(best)
    axes.step(
        [t.number for t in complete],
        line,
        where="post",
        color=palette.series[1],
        linewidth=1.5,
        label="best until then",
    )
    if objective.name.removeprefix("val_") == "loss" and best > 0:
        _set_log(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1.0)
    return figure


def _draw_importances(found: Found, palette: Palette) -> Figure:
    items = sorted(found.importances.items(), key=lambda item: item[1])
    figure = Figure(figsize=(_WIDTH, 1.2 + 0.35 * len(items)), layout="constrained")
    axes = figure.add_subplot(title="what decided the score", xlabel="share")
    axes.barh([n for n, _ in items], [v for _, v in items], color=palette.series[0])
    axes.grid(False, axis="y")
    for place, (_, share) in enumerate(items):
        _label(axes, (share, place), f"{share:.0%}", palette)
    axes.set_xlim(0, 1.15)
    return figure


def _draw_coordinates(found: Found, palette: Palette) -> Figure:
    names = [dimension.name for dimension in found.search.dimensions]
    complete = [t for t in found.trials if t.score is not None]
    axes_of = [_Axis(found, name) for name in names]
    axes_of.append(_Axis.of_scores(found, complete))
    width = max(_WIDE, 1.5 * len(axes_of)) if len(names) > 2 else _WIDTH
    figure = Figure(figsize=(width, _HEIGHT), layout="constrained")
    title = "each line is a trial; the best one is bold, the worse half is gray"
    axes = figure.add_subplot(title=title)
    for rank, trial in enumerate(_ranked(found)):
        is_best, is_better = rank == 0, rank * 2 < len(complete)
        axes.plot(
            range(len(axes_of)),
            [axis.place(trial) for axis in axes_of],
            color=palette.series[is_best] if is_better else palette.muted,
            linewidth=2.2 if is_best else 0.9,
            alpha=1.0 if is_best else 0.6 if is_better else 0.35,
            zorder=3 if is_best else 2,
        )
    for place, axis in enumerate(axes_of):
        axes.axvline(place, color=palette.muted, linewidth=0.8)
        for height, label in axis.ticks:
            _label(axes, (place, height), label, palette)
    axes.set_xticks(range(len(axes_of)), [axis.name for axis in axes_of])
    axes.set_yticks([])
    axes.grid(False)
    axes.set_xlim(-0.3, len(axes_of) - 0.5)
    axes.set_ylim(-0.08, 1.08)
    axes.spines["left"].set_visible(False)
    return figure


class _Axis:
    """One upright of parallel coordinates: where a trial crosses it."""

    def __init__(self, found: Found, name: str) -> None:
        self.name = name
        dimension = next(d for d in found.search.dimensions if d.name == name)
        if dimension.choices:
            self._listed = [_plain(value) for value in dimension.choices]
            last = max(1, len(self._listed) - 1)
            self._scale = None
            every = -(-len(self._listed) // _MOST_LABELS)
            self.ticks = [
                (i / last, textwrap.shorten(str(v), _LONGEST, placeholder="..."))
                for i, v in enumerate(self._listed)
                if i % every == 0
            ]
            return
        self._set_scale(dimension.low, dimension.high, dimension.log)

    def _set_scale(self, low: float, high: float, log: bool) -> None:
        self._listed = None
        change = math.log if log else float
        first, last = change(low), change(high)
        self._scale = lambda value: (change(value) - first) / ((last - first) or 1.0)
        middle = math.sqrt(low * high) if log else (low + high) / 2
        self.ticks = [(self._scale(v), f"{v:.3g}") for v in (low, middle, high)]

    @classmethod
    def of_scores(cls, found: Found, trials: Sequence[Trial]) -> "_Axis":
        axis = cls.__new__(cls)
        axis.name = found.search.objective.name
        scores = [trial.score for trial in trials]
        axis._set_scale(min(scores), max(scores), False)
        axis._is_score = True
        return axis

    _is_score = False

    def place(self, trial: Trial) -> float:
        if self._is_score:
            return self._scale(trial.score)
        value = trial.fields[self.name]
        if self._listed is not None:
            return self._listed.index(_plain(value)) / max(1, len(self._listed) - 1)
        return self._scale(value)


def _draw_curves(found: Found, palette: Palette) -> Figure:
    objective = found.search.objective
    unit = "fold" if found.search.folds else "epoch"
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot(title=f"{objective.name} of all trials", xlabel=unit)
    ranked = _ranked(found)
    named = {trial.number: place for place, trial in enumerate(ranked[:_MOST_NAMED])}
    for trial in found.trials:
        if not trial.curve:
            continue
        steps, values = zip(*trial.curve.items(), strict=True)
        place = named.get(trial.number)
        style: dict[str, Any] = {"color": palette.muted, "linewidth": 0.8, "alpha": 0.6}
        if place is not None:
            style = {
                "color": palette.series[place],
                "linewidth": 2.0 if place == 0 else 1.3,
                "linestyle": DASHES[place % len(DASHES)],
                "label": f"trial {trial.number}",
                "zorder": 3,
            }
        if len(steps) == 1:
            style["marker"] = "X"
            style["markersize"] = 4
        axes.plot(steps, values, **style)
    values = np.array([v for t in found.trials for v in t.curve.values()])
    if objective.name.removeprefix("val_") == "loss" and (values > 0).all():
        _set_log(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    figure.legend(loc="outside lower center", ncols=4, columnspacing=1.0)
    return figure


def _ranked(found: Found) -> list[Trial]:
    """Trials with a score, the best first."""
    sign = 1 if found.search.objective.mode == "min" else -1
    scored = [trial for trial in found.trials if trial.score is not None]
    return sorted(scored, key=lambda trial: sign * trial.score)


def _label(axes: Axes, place: tuple[float, float], text: str, palette: Palette) -> None:
    """Writes beside a place, over whatever is drawn there."""
    axes.annotate(
        text,
        place,
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=8.5,
        va="center",
        color=palette.ink,
        bbox={"facecolor": palette.surface, "edgecolor": "none", "pad": 0.8},
        zorder=4,
    )


def _set_log(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _plain(value: Any) -> Any:
    """A value of several by its text, as JSON and tuples have it alike."""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value
