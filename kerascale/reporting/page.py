"""The page about one run: one HTML file that needs nothing else."""

import dataclasses
from typing import Any

from kerascale.config.provenance import DEFAULT, RECIPE
from kerascale.reporting import figures, task_figures, time_figure
from kerascale.reporting.drawing import Drawing
from kerascale.reporting.fill_template import fill
from kerascale.reporting.model_findings import Findings
from kerascale.reporting.run_record import Recorded

_MOST_PAIRS = 10
# Of more classes the table is folded.
_MOST_OPEN = 50


@dataclasses.dataclass(frozen=True)
class Pair:
    """A class that was taken for another one, and how often."""

    true: str
    predicted: str
    count: int


def drawings(run: Recorded) -> list[Drawing]:
    """All figures of a run."""
    confusion = figures.confusion_of(run)
    time = time_figure.time_of(run)
    own = [*([confusion] if confusion else []), *task_figures.of_run(run)]
    own += [time] if time else []
    return [*figures.curves_of(run), *own]


def render(run: Recorded, findings: Findings) -> str:
    """The page.

    Args:
        run: The records of a run.
        findings: What its model and data tell.
    """
    confusion = figures.confusion_of(run)
    evaluation = run.evaluation or {}
    origins = {n: run.origins.get(n, "") for n in run.fields}
    return fill(
        "report.html",
        run=run,
        title=f"{run.recipe}: {run.name}",
        curves=figures.curves_of(run),
        confusion=confusion,
        task_figures=task_figures.of_run(run),
        per_target=evaluation.get("per_target") or {},
        per_label=evaluation.get("per_label") or {},
        columns=run.config["data"].get("columns") or [],
        pairs=_pairs(evaluation),
        per_class=evaluation.get("per_class") or {},
        results=_results(run),
        set_fields={n: o for n, o in origins.items() if o not in (DEFAULT, RECIPE)},
        other_fields={n: o for n, o in origins.items() if o in (DEFAULT, RECIPE)},
        findings=findings,
        timeline=_timeline(run),
        time=time_figure.time_of(run),
        most_classes=figures.MOST_CLASSES,
        most_open=_MOST_OPEN,
    )


def _results(run: Recorded) -> dict[str, Any]:
    """The numbers that a reader looks for first, then the others."""
    results = {n: v for n, v in run.results.items() if n != "split"}
    names = ("auc", "accuracy", "r2", "rmse", "mae", "perplexity", "loss")
    first = {n: results[n] for n in names if n in results}
    return {**first, **results}


def _pairs(evaluation: dict[str, Any]) -> list[Pair]:
    names = list(evaluation.get("per_class") or {})
    counts = [
        Pair(names[i], names[j], count)
        for i, row in enumerate(evaluation.get("confusion_matrix") or [])
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(counts, key=lambda pair: -pair.count)[:_MOST_PAIRS]


def _timeline(run: Recorded) -> list[dict[str, Any]]:
    """Events and checkpoints, in their order."""
    saved = [{"event": "checkpoint saved", **each} for each in run.checkpoints]
    return sorted([*run.events, *saved], key=lambda event: str(event["time"]))
