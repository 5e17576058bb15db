"""Shows that a run which is killed ends as if nothing had happened."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from kerascale.config.fields import to_dict
from kerascale.config.recipes import Recipe
from kerascale.diagnostics.chaos import attempts, checksums
from kerascale.diagnostics.chaos.attempts import Attempt, UnexpectedEnd
from kerascale.diagnostics.chaos.events import KINDS, Event, draw
from kerascale.diagnostics.chaos.report import Report
from kerascale.errors import RefusedError
from kerascale.runs.checkpoint import Store
from kerascale.runs.files import read_json
from kerascale.runs.layout import CHECKPOINTS, CONFIG
from kerascale.runtime.console import say

__all__ = ["KINDS", "Event", "Report", "UnexpectedEnd", "chaos"]


def chaos(
    recipe: Recipe,
    config: Any,
    folder: pathlib.Path,
    *,
    kills: int,
    workers: int = 1,
    seed: int = 0,
    save_every: int = 10,
    stuck_seconds: float = 5.0,
    kinds: Sequence[str] = KINDS,
    strategy: str | None = None,
    mesh: str | None = None,
    remat: str = "none",
) -> Report:
    """Runs a recipe once undisturbed, once struck at random, and compares both.

    Args:
        recipe: The recipe.
        config: Its configuration.
        folder: An empty folder for both runs and their logs.
        kills: How often the second run is struck.
        workers: Number of workers of both.
        seed: Decides what is done, and when.
        save_every: Batches between two checkpoints.
        stuck_seconds: After how long a stopped worker is noticed.
        kinds: What may be done.
        strategy: That of both; None: `auto`.
        mesh: Of `model_parallel` and `fsdp`; or None.
        remat: Of them: what a step computes again.

    Raises:
        RefusedError: If the run has fewer steps than there are kills.
        UnexpectedEnd: If an attempt ended in another way than by what was done.
    """
    file = folder / CONFIG
    file.write_text(json.dumps({"fields": to_dict(config)}))

    def command(run_dir: pathlib.Path) -> list[str]:
        flags = {"config": file, "run-dir": run_dir, "save-every-steps": save_every}
        flags |= {"strategy": strategy, "mesh": mesh}
        if remat != "none":
            flags["remat"] = remat
        flags = {name: value for name, value in flags.items() if value is not None}
        pairs = ((f"--{name}", str(value)) for name, value in flags.items())
        return ["train", recipe.source, *(part for pair in pairs for part in pair)]

    def go(name: str, plan: Sequence[Event]) -> list[Attempt]:
        logs = folder / f"{name}-logs"
        logs.mkdir()
        return attempts.run(
            command(folder / name),
            plan,
            workers=workers,
            logs=logs,
            stuck_seconds=stuck_seconds,
            tell=lambda attempt: say(f"{name}: {_line(attempt)}"),
        )

    (undisturbed,) = go("undisturbed", ())
    # How its steps were executed too, where that was chosen.
    fields = read_json(folder / "undisturbed", CONFIG)["fields"]
    file.write_text(json.dumps({"fields": fields}))
    steps = Store(folder / "undisturbed" / CHECKPOINTS).steps()[-1]
    if steps <= kills:
        raise RefusedError(
            f"kills: expected fewer than the run has steps, {steps}. Received: "
            f"{kills}. Ask for fewer, or for more epochs."
        )
    plan = draw(
        kills,
        steps,
        workers=workers,
        seed=seed,
        step_seconds=min(0.1, undisturbed.seconds / steps),
        kinds=kinds,
    )
    disturbed = go("disturbed", plan)
    sums = [checksums.fingerprints(folder / n) for n in ("undisturbed", "disturbed")]
    return Report(
        steps=steps,
        save_every=save_every,
        undisturbed_seconds=undisturbed.seconds,
        attempts=disturbed,
        compared=len(sums[0]),
        sha256=checksums.total(sums[0]),
        different=checksums.differences(*sums),
    )


def _line(attempt: Attempt) -> str:
    how = "done" if not attempt.code else f"{attempt.event}, exit {attempt.code}"
    return (
        f"steps {attempt.began_at} to {attempt.ended_at} in {attempt.seconds:.1f} s: "
        f"{how}"
    )
