"""The pruned levels of a ladder: the run trains on for a while, and is pruned."""

import dataclasses
import json
import pathlib
import shutil
from typing import Any

from kerascale.compression.ladder import rung_folder
from kerascale.config import TrainingConfig
from kerascale.config.recipes import load_recipe
from kerascale.errors import ExportRefusedError, RefusedError
from kerascale.runs import layout
from kerascale.runs.run import Run, load_run
from kerascale.runtime.console import say
from kerascale.training.train import train

# Level -> what it sets in the run's configuration.
LEVELS: dict[str, dict[str, Any]] = {
    "pruned-0.8": {"prune": 0.8, "prune_structure": "unstructured"},
    "2:4": {"prune": 0.5, "prune_structure": "2:4"},
}
# Of the epochs of the run, or of its steps.
_SHARE = 5
_KEY = "training.json"


def pruned(run: Run, level: str, base: pathlib.Path, key: dict[str, Any]) -> Run:
    """A run that goes on from another and is pruned, in the folder of its level.

    It has the configuration and the data of the run, from the beginning of its
    schedule, for a fifth of its epochs; weights go in the first half of them. Half
    done, it goes on; finished, it is taken as it is.

    Args:
        run: The run.
        level: Of `LEVELS`.
        base: The folder of the ladder.
        key: What rungs depend on.

    Raises:
        ExportRefusedError: If it cannot be trained, with the reason.
    """
    folder = base / level / layout.PRUNED
    beside = base / level / _KEY
    own = {name: key[name] for name in ("format", "model", "data")}
    if folder.exists() and _read(beside) != own:
        shutil.rmtree(folder)
    if (folder / layout.EVALUATION).is_file():
        return load_run(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    rung_folder.write_json(beside, own)
    try:
        recipe = load_recipe(run.recipe)
        if not isinstance(run.config, TrainingConfig):
            raise RefusedError(
                "config: expected a TrainingConfig, whose fields pruning is told by. "
                f"Received: {type(run.config).__name__}."
            )
        config = _config(run.config, level)
        epochs = config.epochs if config.max_steps is None else None
        how = f"{config.max_steps} steps" if epochs is None else f"{epochs} epochs"
        say(f"{level}: the run goes on for {how}, and is pruned in the first half")
        train(recipe, config, run_dir=folder, init_from=run.path)
    except RefusedError as error:
        raise ExportRefusedError(
            f"{level}: expected a run that can train on. Received: {error}"
        ) from error
    # As a user would: what trained knows the data of its steps, not that of requests.
    return load_run(folder)


def _config(config: Any, level: str) -> Any:
    """The run's, for what is left to do."""
    steps = config.max_steps
    plain = {
        name: getattr(type(config), name)
        for name in (
            "distill_alpha",
            "distill_temperature",
            "early_stopping_patience",
            "quantize_aware",
            "quantize_begin",
            "teacher",
            "teacher_cache",
        )
    }
    return dataclasses.replace(
        config,
        **plain,
        **LEVELS[level],
        prune_begin=0.0,
        prune_end=0.5,
        epochs=max(1, -(-config.epochs // _SHARE)),
        max_steps=None if steps is None else max(1, -(-steps // _SHARE)),
        warmup_epochs=0.0,
    )


def _read(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
