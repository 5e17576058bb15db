"""Figures of tasks: predicted against true, residuals, ROC and precision-recall."""

import functools
import re
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from kerascale.reporting.drawing import Drawing, Palette
from kerascale.reporting.run_record import Recorded

_WIDTH, _HEIGHT = 4.6, 3.8
_MOST_TARGETS = 6


def of_run(run: Recorded) -> list[Drawing]:
    """Those that the final evaluation has the numbers for."""
    evaluation = run.evaluation or {}
    drawings = []
    points = evaluation.get("points") or {}
    for name in list(points)[:_MOST_TARGETS]:
        true, predicted = points[name]["true"], points[name]["predicted"]
        own = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "target"
        drawings += [
            Drawing(
                f"predicted-{own}",
                f"{name}: predicted against true, {len(true)} examples",
                functools.partial(_draw_predicted, name, true, predicted),
            ),
            Drawing(
                f"residuals-{own}",
                f"{name}: predicted minus true against predicted",
                functools.partial(_draw_residuals, name, true, predicted),
            ),
        ]
    curves = evaluation.get("curves")
    if curves:
        drawings += [
            Drawing(
                "roc",
                "ROC curve: true positive rate against false positive rate",
                functools.partial(_draw_roc, curves, evaluation),
            ),
            Drawing(
                "precision-recall",
                "precision against recall",
                functools.partial(_draw_precision, curves, evaluation),
            ),
        ]
    return drawings


def _axes(**labels: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    return figure, figure.add_subplot(**labels)


def _draw_predicted(
    name: str, true: Sequence[float], predicted: Sequence[float], palette: Palette
) -> Figure:
    figure, axes = _axes(title=name, xlabel="true", ylabel="predicted")
    both = [*true, *predicted]
    ends = [min(both), max(both)]
    axes.plot(ends, ends, color=palette.muted, linestyle="--", label="right answers")
    _scatter(axes, true, predicted, palette)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _draw_residuals(
    name: str, true: Sequence[float], predicted: Sequence[float], palette: Palette
) -> Figure:
    figure, axes = _axes(
        title=f"{name}, residuals", xlabel="predicted", ylabel="predicted minus true"
    )
    axes.axhline(0, color=palette.muted, linestyle="--", label="right answers")
    errors = [p - t for t, p in zip(true, predicted, strict=True)]
    _scatter(axes, predicted, errors, palette)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _scatter(
    axes: Any, x: Sequence[float], y: Sequence[float], palette: Palette
) -> None:
    axes.plot(
        x,
        y,
        color=palette.series[0],
        linestyle="",
        marker="o",
        markersize=3.5,
        markeredgewidth=0,
        alpha=0.5,
        label="examples",
    )


def _draw_roc(
    curves: dict[str, Any], evaluation: dict[str, Any], palette: Palette
) -> Figure:
    figure, axes = _axes(
        title="ROC", xlabel="false positive rate", ylabel="true positive rate"
    )
    area = evaluation.get("auc")
    label = "model" if area is None else f"model, area {area:.3f}"
    axes.plot([0, 1], [0, 1], color=palette.muted, linestyle="--", label="chance")
    false, true = curves["false_positive_rate"], curves["true_positive_rate"]
    axes.plot([0, *false], [0, *true], color=palette.series[0], label=label)
    place = _at_threshold(curves, evaluation)
    if place is not None:
        _mark(axes, false[place], true[place], evaluation, palette)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _draw_precision(
    curves: dict[str, Any], evaluation: dict[str, Any], palette: Palette
) -> Figure:
    figure, axes = _axes(title="Precision", xlabel="recall", ylabel="precision")
    mean = evaluation.get("average_precision")
    label = "model" if mean is None else f"model, mean {mean:.3f}"
    recall, precision = curves["true_positive_rate"], curves["precision"]
    axes.plot(recall, precision, color=palette.series[0], label=label)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    place = _at_threshold(curves, evaluation)
    if place is not None:
        _mark(axes, recall[place], precision[place], evaluation, palette)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _at_threshold(curves: dict[str, Any], evaluation: dict[str, Any]) -> int | None:
    """The last point of the curves that is answered; scores fall."""
    threshold = evaluation.get("threshold", 0.5)
    above = [i for i, value in enumerate(curves["thresholds"]) if value >= threshold]
    return above[-1] if above else None


def _mark(
    axes: Any, x: float, y: float, evaluation: dict[str, Any], palette: Palette
) -> None:
    axes.plot(
        [x],
        [y],
        color=palette.series[1],
        marker="s",
        linestyle="",
        label=f"threshold {evaluation.get('threshold', 0.5):.3f}",
    )
