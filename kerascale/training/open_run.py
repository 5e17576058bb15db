"""A run folder that is opened again: whether what it holds may go on."""

import contextlib
import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kerascale.callbacks import ResumePoint
from kerascale.config import CheckpointPolicy, ImageConfig
from kerascale.config.fields import to_dict
from kerascale.datasets import Datasets
from kerascale.engine.collectives import consensus, replicas
from kerascale.engine.compat import tensorflow_private
from kerascale.errors import RefusedError
from kerascale.runs import files, layout
from kerascale.runs.folder import RunFolder
from kerascale.runtime import console, heartbeat, tf_environment
from kerascale.runtime.console import say
from kerascale.training import resume, shared_folder
from kerascale.training.context import RunContext

# Fields that do not change what is computed.
_HARMLESS = ("pack", "steps_per_execution")
# Fields that may become larger: the run goes on where it ended.
_GROW = ("epochs", "max_steps")


def holds_a_run(path: pathlib.Path | None) -> bool:
    """Whether a folder is that of a run which was begun."""
    return path is not None and (path / layout.CONFIG).is_file()


def where_to(
    run_dir: str | os.PathLike | None, policy: CheckpointPolicy, is_dry: bool
) -> tuple[str | os.PathLike | None, CheckpointPolicy]:
    """The run folder that was asked for; of a job that was restarted, its own."""
    restarted_in = heartbeat.restarted_in()
    if restarted_in is None or is_dry:
        return run_dir, policy
    return restarted_in, dataclasses.replace(policy, fresh=False)


def open_folder(path: pathlib.Path | None, context: RunContext) -> RunFolder:
    """The run folder: a new one, or that of the run that goes on.

    Raises:
        RefusedError: If the folder cannot be had, or holds another run.
    """
    name = context.recipe.name
    if not holds_a_run(path):
        return RunFolder(path, name)
    if context.policy.fresh:
        _set_aside(path, name)
        return RunFolder(path, name)
    folder = RunFolder(path, name, existing=True)
    try:
        _refuse_other_run(folder.path, context)
    except BaseException:
        folder.close()
        raise
    return folder


def open_for_all(
    stack: contextlib.ExitStack, context: RunContext, path: str | os.PathLike | None
) -> tuple[RunContext, ResumePoint | None]:
    """Opens the run folder, by the chief. All workers call it.

    Args:
        stack: Closes the folder.
        context: Of the training, without a folder.
        path: The folder; None: `runs/RECIPE/N`.

    Returns:
        The context, with the folder for the chief alone and its path for all; and where
        the run goes on, for all.

    Raises:
        RefusedError: See `open_folder` and `shared_folder.find`.
        DamagedRunError: If there are checkpoints, and none is whole.
    """
    folder, point = None, None
    asked = None if path is None else pathlib.Path(path)
    policy, steps_per_epoch = context.policy, context.steps_per_epoch

    def make() -> str:
        nonlocal folder, point
        folder = stack.enter_context(open_folder(asked, context))
        resume.store(folder, policy).check_writable()
        if heartbeat.restarted_in() is None:
            resume.go_back(folder, policy)
            resume.reopen_last_epoch(folder, context)
        point = resume.find(folder, policy, steps_per_epoch, in_parts=context.in_parts)
        return f"{folder.path}\n{resume.to_text(point)}"

    where, _, text = consensus.from_chief(context.strategy, make).partition("\n")
    if context.in_parts:
        where = shared_folder.find(context.strategy, folder)
    point = resume.for_all(context.strategy, text, point)
    done = 0 if point is None else point.done(steps_per_epoch)
    heartbeat.beat(heartbeat.STARTING, step=done, run_dir=pathlib.Path(where))
    if folder is None:
        console.log_to(f"{where}.worker-{replicas.worker_index(context.strategy)}.log")
    opened = dataclasses.replace(context, folder=folder, path=pathlib.Path(where))
    return opened, point


def with_task_of_before(
    config: Any, run_dir: str | os.PathLike | None, policy: CheckpointPolicy
) -> Any:
    """A run that was begun when there was one task goes on with that one."""
    if run_dir is None or policy.fresh or getattr(config, "task", None) != "auto":
        return config
    file = pathlib.Path(run_dir) / layout.CONFIG
    try:
        before = json.loads(file.read_text(encoding="utf-8")).get("fields", {})
    except (OSError, ValueError, AttributeError):
        return config  # What the matter is, is told where it is opened.
    if "task" in before:
        return config
    return dataclasses.replace(config, task="classification")


def refuse_other_task(config: Any, datasets: Datasets) -> None:
    """Refuses data from Python that was made for another task than is asked for."""
    asked, task = getattr(config, "task", "auto"), datasets.info.task
    if asked not in ("auto", task):
        raise RefusedError(
            f"task: expected {task}, as the data was made for it. Received: {asked}. "
            "Give from_arrays a configuration with that task."
        )


def _set_aside(path: pathlib.Path, recipe_name: str) -> None:
    RunFolder(path, recipe_name, existing=True).close()  # Refused if it is held.
    aside = path.with_name(f"{path.name}.before-{time.strftime('%Y%m%d-%H%M%S')}")
    path.rename(aside)
    say(f"--fresh: the run that was in {path} is now in {aside}")


def _refuse_other_run(path: pathlib.Path, context: RunContext) -> None:
    recipe, config, policy = context.recipe, context.config, context.policy
    info = context.datasets.info
    before = files.read_json(path, layout.CONFIG)
    problems = []
    if before.get("recipe") != recipe.source:
        problems.append(
            f"recipe: expected {before.get('recipe')}, whose run is in {path}. "
            f"Received: {recipe.source}"
        )
    else:
        problems += _differences(before.get("fields", {}), to_dict(config), policy)
    fingerprint = (before.get("data") or {}).get("fingerprint")
    if fingerprint != info.fingerprint and "data" not in policy.allow_changes:
        problems.append(
            f"data: expected that of the run, with sha256 {str(fingerprint)[:12]}. "
            f"Received: {str(info.fingerprint)[:12]}. Allow it with --allow-changes "
            "data"
        )
    problems += _other_dependencies(before.get("depends_on", {}), context)
    if problems:
        raise RefusedError(
            [
                *problems,
                f"Or name another folder with --run-dir; --fresh sets {path} aside",
            ],
            heading=f"{path} holds a run with another configuration",
        )
    remat = getattr(context.strategy, "remat", None)
    if None not in (remat, before.get("remat")) and remat != before["remat"]:
        say(
            f"note: the run was begun with remat {before['remat']}, and goes on with "
            f"{remat}: its last bits may be others"
        )
    onednn = (before.get("versions") or {}).get("onednn")
    now = tensorflow_private.onednn()
    if onednn not in (None, now):
        say(
            f"note: the run was begun with TensorFlow's oneDNN kernels {onednn}, and "
            f"goes on with them {now}: its last bits will be others "
            f"({tf_environment.ONEDNN})"
        )
    now = to_dict(config)
    grows = any(_has_grown(before["fields"].get(name), now.get(name)) for name in _GROW)
    if (path / layout.EVALUATION).exists() and not grows:
        say(
            f"the run in {path} is finished: it is evaluated and saved once more. "
            "Train anew with --fresh or another --run-dir, go on with more epochs (or "
            "max_steps)."
        )


def _other_dependencies(before: Mapping[str, str], context: RunContext) -> list[str]:
    """A teacher, say, that was trained anew in its folder."""
    return [
        f"{name}: expected the one that the run was begun with, of sha256 "
        f"{before[name][:12]}. Received: {sha256[:12]}. Bring it back"
        for name, sha256 in context.depends_on.items()
        if before.get(name, sha256) != sha256
    ]


# Fields that kerascale has gained since: a run that lacks them was as their default is.
_OF_BEFORE = {
    field.name: field.default
    for field in dataclasses.fields(ImageConfig)
    if field.name
    in (
        "adversarial",
        "adversarial_norm",
        "adversarial_step_size",
        "adversarial_steps",
        "adversarial_warmup_epochs",
        "all_reduce_dtype",
        "augment_crop",
        "augment_cutout",
        "augment_flip",
        "augment_resized_crop",
        "class_order",
        "class_weight",
        "columns",
        "distill_alpha",
        "distill_attention",
        "distill_attention_weight",
        "distill_features",
        "distill_features_weight",
        "distill_temperature",
        "dp_clip",
        "dp_delta",
        "dp_epsilon",
        "dp_noise",
        "dp_seed",
        "drop_columns",
        "epsilon",
        "fold",
        "folds",
        "group",
        "hold_out_validation",
        "lora_alpha",
        "lora_from",
        "lora_layers",
        "lora_rank",
        "max_steps",
        "monitor",
        "monitor_mode",
        "no_header",
        "pack",
        "prune",
        "prune_begin",
        "prune_end",
        "prune_structure",
        "quantize_aware",
        "quantize_begin",
        "regression_loss",
        "separator",
        "shuffle",
        "teacher",
        "teacher_cache",
        "teacher_cache_top",
        "test_data",
        "time",
    )
} | {"task": "classification", "members": 1, "numbers": "auto"}


def _differences(
    before: Mapping[str, Any], now: Mapping[str, Any], policy: CheckpointPolicy
) -> list[str]:
    allowed: Sequence[str] = (*_HARMLESS, *policy.allow_changes)
    gained = {name: value for name, value in _OF_BEFORE.items() if name in now}
    if before.get("members", 1) > 1 and "numbers" in gained:
        gained["numbers"] = "deviations"  # Members read no quantiles then.
    before = {**gained, **before}
    problems = []
    for name in sorted({*before, *now}):
        old, new = _plain(before.get(name)), _plain(now.get(name))
        grown = name in _GROW and _has_grown(old, new)
        # What it chose is used again; a loop is kept as the steps that were chosen.
        chosen = name == "execution" and (
            new == "auto" or (old, new) == ("fixed", "loop")
        )
        if old != new and name not in allowed and not grown and not chosen:
            problems.append(
                f"{name}: expected {old!r}, as in the run. Received: {new!r}. Allow it "
                f"with --allow-changes {name}"
            )
    return problems


def _has_grown(old: Any, new: Any) -> bool:
    return isinstance(old, int) and isinstance(new, int) and new > old


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
