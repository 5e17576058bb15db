"""A run folder that is opened again: what it holds, and whether it may go on."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kerascale import run_files
from kerascale.callbacks import Resumed
from kerascale.checkpoint import Checkpoint, Store
from kerascale.console import say
from kerascale.errors import DamagedRunError, RefusedError
from kerascale.fields import to_dict
from kerascale.run_folder import RunFolder

# Fields that do not change what is computed.
_HARMLESS = ("steps_per_execution",)


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """When a run is saved, and what is done with a run folder that holds a run.

    Args:
        every_steps: Batches between two saves, beside those at the end of epochs.
        every_seconds: Seconds between two saves; None: no such saves.
        keep: How many of the newest stay.
        keep_every: Steps that can be divided by it stay for good.
        fresh: Begin anew where a run is; the old folder is renamed.
        resume_from: Another run folder, or FOLDER:STEP, whose state the run begins
            with; or None.
        allow_changes: Fields of the configuration that may differ from those of the
            run that goes on.
    """

    every_steps: int | None = None
    every_seconds: float | None = 600.0
    keep: int = 2
    keep_every: int | None = None
    fresh: bool = False
    resume_from: str | None = None
    allow_changes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = [
            f"{name}: expected a number above 0. Received: {value!r}"
            for name in ("every_steps", "every_seconds", "keep", "keep_every")
            if (value := getattr(self, name)) is not None and not value > 0
        ]
        if problems:
            raise RefusedError(problems, heading="checkpoints")


def holds_a_run(path: pathlib.Path | None) -> bool:
    """Whether a folder is that of a run which was begun."""
    return path is not None and (path / run_files.CONFIG).is_file()


def open_folder(
    path: pathlib.Path | None, recipe: Any, config: Any, info: Any, plan: Checkpoints
) -> RunFolder:
    """The run folder: a new one, or that of the run that goes on.

    Raises:
        RefusedError: If the folder cannot be had, or holds another run.
    """
    if not holds_a_run(path):
        return RunFolder(path, recipe.name)
    if plan.fresh:
        _set_aside(path, recipe.name)
        return RunFolder(path, recipe.name)
    folder = RunFolder(path, recipe.name, existing=True)
    try:
        _refuse_other_run(folder.path, recipe, config, info, plan)
    except BaseException:
        folder.close()
        raise
    return folder


def find(folder: RunFolder, plan: Checkpoints, steps_per_epoch: int) -> Resumed | None:
    """Where the run of a folder goes on; None: at the beginning.

    The newest checkpoint that is whole is taken; those that are not are named.

    Raises:
        DamagedRunError: If there are checkpoints, and none is whole.
    """
    store = Store(folder.path / run_files.CHECKPOINTS, keep=plan.keep)
    found, skipped = store.newest()
    for damaged in skipped:
        say(f"checkpoint skipped: {damaged}")
    if found is None and skipped:
        raise DamagedRunError(
            f"{folder.path}: expected a checkpoint that is whole. Received: "
            f"{len(skipped)}, all damaged. Nothing was begun anew over them: name "
            "another folder, or pass --fresh."
        )
    if found is None and plan.resume_from is not None:
        found = _of_another_run(plan.resume_from)
    if found is None:
        _write_texts(folder, {})
        return None
    if found.metadata["steps_per_epoch"] != steps_per_epoch:
        raise RefusedError(
            f"checkpoint: expected {steps_per_epoch} batches in an epoch. Received: "
            f"{found.metadata['steps_per_epoch']} in that of step {found.step}. Use "
            "the same data and batch size."
        )
    _write_texts(folder, found.metadata["files"])
    say(
        f"resuming at step {found.step} (epoch {found.metadata['epoch'] + 1}, "
        f"{found.metadata['step']} of {steps_per_epoch} batches done)"
    )
    return from_checkpoint(found)


def from_checkpoint(found: Checkpoint) -> Resumed:
    """What a run goes on from."""
    names = ("epoch", "step", "history", "callbacks", "stop")
    fields = {name: found.metadata[name] for name in names}
    return Resumed(**fields, arrays=found.arrays)


def to_text(resumed: Resumed | None) -> str:
    """What other workers must know of it; the arrays follow by themselves."""
    if resumed is None:
        return ""
    fields = {f.name: getattr(resumed, f.name) for f in dataclasses.fields(resumed)}
    return json.dumps({**fields, "arrays": None})


def from_text(text: str) -> Resumed | None:
    """The other side of `to_text`."""
    return Resumed(**json.loads(text)) if text else None


def _set_aside(path: pathlib.Path, recipe_name: str) -> None:
    RunFolder(path, recipe_name, existing=True).close()  # Refused if it is held.
    aside = path.with_name(f"{path.name}.before-{time.strftime('%Y%m%d-%H%M%S')}")
    path.rename(aside)
    say(f"--fresh: the run that was in {path} is now in {aside}")


def _refuse_other_run(
    path: pathlib.Path, recipe: Any, config: Any, info: Any, plan: Checkpoints
) -> None:
    before = run_files.read_json(path, run_files.CONFIG)
    problems = []
    if before.get("recipe") != recipe.source:
        problems.append(
            f"recipe: expected {before.get('recipe')}, whose run is in {path}. "
            f"Received: {recipe.source}"
        )
    else:
        problems += _differences(before.get("fields", {}), to_dict(config), plan)
    fingerprint = (before.get("data") or {}).get("fingerprint")
    if fingerprint != info.fingerprint and "data" not in plan.allow_changes:
        problems.append(
            f"data: expected that of the run, with sha256 {str(fingerprint)[:12]}. "
            f"Received: {str(info.fingerprint)[:12]}. Allow it with --allow-changes "
            "data"
        )
    if problems:
        raise RefusedError(
            [
                *problems,
                f"Or name another folder with --run-dir; --fresh sets {path} aside",
            ],
            heading=f"{path} holds a run with another configuration",
        )
    grows = to_dict(config).get("epochs", 0) > before["fields"].get("epochs", 0)
    if (path / run_files.EVALUATION).exists() and not grows:
        raise RefusedError(
            f"run_dir: expected a run that is not finished. Received: {path}, which "
            "is. Ask for more epochs to go on, name another folder with --run-dir, or "
            "pass --fresh."
        )


def _differences(
    before: Mapping[str, Any], now: Mapping[str, Any], plan: Checkpoints
) -> list[str]:
    allowed: Sequence[str] = (*_HARMLESS, *plan.allow_changes)
    problems = []
    for name in sorted({*before, *now}):
        old, new = _plain(before.get(name)), _plain(now.get(name))
        grown = name == "epochs" and isinstance(old, int) and new > old
        if old != new and name not in allowed and not grown:
            problems.append(
                f"{name}: expected {old!r}, as in the run. Received: {new!r}. Allow it "
                f"with --allow-changes {name}"
            )
    return problems


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _of_another_run(source: str) -> Checkpoint:
    folder, _, step = source.rpartition(":")
    if not (folder and step.isdecimal()):
        folder, step = source, ""
    store = Store(pathlib.Path(folder) / run_files.CHECKPOINTS)
    if step:
        return store.read(int(step))
    found, skipped = store.newest()
    if found is None:
        raise RefusedError(
            f"resume_from: expected a run folder with a checkpoint that is whole. "
            f"Received: {folder}, with {len(skipped)} damaged ones and no other."
        )
    return found


def _write_texts(folder: RunFolder, texts: Mapping[str, str]) -> None:
    """Files that grow with a run, as they were when its state was saved."""
    for name in (run_files.HISTORY, run_files.METRICS):
        path = folder.path / name
        if texts.get(name):
            path.write_text(texts[name], encoding="utf-8")
        else:
            path.unlink(missing_ok=True)
    (folder.path / run_files.EVALUATION).unlink(missing_ok=True)
