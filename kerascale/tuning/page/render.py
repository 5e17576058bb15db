"""The page about a search: one HTML file that needs nothing else."""

from typing import Any

from kerascale.reporting.fill_template import fill
from kerascale.tuning.metrics import numbers
from kerascale.tuning.page import figures
from kerascale.tuning.result import Found, summary


def render(found: Found, final: dict[str, Any] | None = None) -> str:
    """The page.

    Args:
        found: What came of the search.
        final: Of the training that followed: `run_dir` and `metrics`; or None.
    """
    objective = found.search.objective
    ranked = sorted(
        found.trials,
        key=lambda trial: (
            trial.score is None,
            (trial.score or 0.0) * (1 if objective.mode == "min" else -1),
            trial.number,
        ),
    )
    return fill(
        "tune.html",
        package="kerascale.tuning.page",
        title=f"search: {found.search.recipe.name}",
        found=found,
        objective=objective,
        summary=summary(found),
        figures=figures.of_search(found),
        ranked=ranked,
        names=[dimension.name for dimension in found.search.dimensions],
        final=final,
        final_metrics=numbers(final["metrics"]) if final is not None else {},
        unit="fold" if found.search.folds else "epoch",
    )
