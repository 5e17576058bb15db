"""The best configuration, trained on all that is not for the test, and tested once."""

from typing import Any

from kerascale.config.fields import fields
from kerascale.runs import layout
from kerascale.runtime.console import say
from kerascale.tuning import asking
from kerascale.tuning.pool import Pool
from kerascale.tuning.result import Trial, config_of
from kerascale.tuning.study import Study


def config(study: Study, best: Trial) -> dict[str, Any]:
    """The configuration of the last training.

    It has as many epochs as the best trial had when it was best: without validation
    examples nothing tells which epoch to take. A schedule that ends with the training
    keeps its length.
    """
    chosen = config_of(study.search, best)
    own = {
        "hold_out_validation": False,
        "monitor": None,
        "monitor_mode": "auto",
        "early_stopping_patience": None,
    }
    if best.best_epoch is not None and chosen.get("schedule") != "cosine":
        own |= {"epochs": best.best_epoch, "max_steps": None}
    own |= {"folds": None, "fold": None}
    known = fields(study.search.recipe.Config)
    return {**chosen, **{name: value for name, value in own.items() if name in known}}


def train(study: Study, best: Trial, pool: Pool) -> dict[str, Any]:
    """Trains the best configuration, or goes on with that.

    Args:
        study: The study, which has ended.
        best: Its best trial.
        pool: Who trains.

    Returns:
        `run_dir` and `metrics`, those of the test examples.

    Raises:
        RefusedError: If it is refused.
        JobFailedError: If it fails.
    """
    run_dir = study.folder.path / layout.WINNER / f"{best.number:04d}"
    say(f"--best: training and validation examples together, into {run_dir}")
    search = study.search
    answer = asking.ask(
        pool,
        {
            "do": "final",
            "recipe": search.recipe.source,
            "fields": config(study, best),
            "strategy": search.strategy,
            "told": dict(search.told),
            "run_dir": str(run_dir),
            "log": str(run_dir.parent / f"{best.number:04d}.log"),
        },
    )
    return {"run_dir": str(run_dir), "metrics": answer["metrics"]}
