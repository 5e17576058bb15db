"""Where a run goes on: its newest whole checkpoint, or that of another run."""

import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Mapping

import tensorflow as tf

from kerascale.callbacks import ResumePoint
from kerascale.config import CheckpointPolicy
from kerascale.config.monitor import monitor_of
from kerascale.engine.collectives import consensus, replicas
from kerascale.errors import DamagedRunError, RefusedError
from kerascale.runs import files, layout, step_losses
from kerascale.runs.checkpoint import (
    Checkpoint,
    Peers,
    Store,
    look,
    refuse_unsafe_weights,
)
from kerascale.runs.folder import RunFolder
from kerascale.runtime.console import say
from kerascale.runtime.durable_files import DamagedError
from kerascale.training.context import RunContext


def store(
    folder: RunFolder, policy: CheckpointPolicy, peers: Peers | None = None
) -> Store:
    """The checkpoints of a run.

    Args:
        folder: The run folder.
        policy: How many are kept.
        peers: The processes that each write a part of what is saved; None: this one
            writes all.
    """
    return Store(
        folder.path / layout.CHECKPOINTS,
        keep=policy.keep_checkpoints,
        keep_every=policy.keep_every_steps,
        peers=peers,
    )


def find(
    folder: RunFolder,
    policy: CheckpointPolicy,
    steps_per_epoch: int,
    *,
    in_parts: bool = False,
) -> ResumePoint | None:
    """Where the run of a folder goes on; None: at the beginning.

    The newest checkpoint that is whole is taken; those that are not are named.

    Args:
        folder: The run folder.
        policy: Of the run.
        steps_per_epoch: Batches in one pass.
        in_parts: Whether each process reads its part, so that arrays stay on the disk.

    Raises:
        DamagedRunError: If there are checkpoints, and none is whole.
    """
    found, skipped = store(folder, policy).newest(mapped=in_parts)
    for damaged in skipped:
        say(f"checkpoint skipped: {damaged}")
    if found is None and skipped:
        raise DamagedRunError(
            f"{folder.path}: expected a checkpoint that is whole. Received: "
            f"{len(skipped)}, all damaged. Nothing was begun anew over them: name "
            "another folder, or pass --fresh."
        )
    if found is None and policy.resume_from is not None:
        found = _of_another_run(folder, policy.resume_from, in_parts)
    losses = folder.path / layout.LOSSES
    if found is None:
        _write_texts(folder, {})
        step_losses.cut(losses, 0)
        for events in (folder.path / layout.TENSORBOARD).rglob(layout.EVENTS):
            events.unlink()
        return None
    if found.metadata["steps_per_epoch"] != steps_per_epoch:
        raise RefusedError(
            f"checkpoint: expected {steps_per_epoch} batches in an epoch. Received: "
            f"{found.metadata['steps_per_epoch']} in that of step {found.step}. Use "
            "the same data and batch size."
        )
    _write_texts(folder, found.metadata["files"])
    step_losses.cut(losses, found.step)
    say(
        f"resuming at step {found.step} (epoch {found.metadata['epoch'] + 1}, "
        f"{found.metadata['step']} of {steps_per_epoch} batches done)"
    )
    return from_checkpoint(found)


def from_checkpoint(found: Checkpoint) -> ResumePoint:
    """What a run goes on from."""
    names = ("epoch", "step", "history", "callbacks", "stop", "rollbacks", "rate")
    fields = {name: found.metadata[name] for name in names}
    # Checkpoints of version 0.1.0 are of whole epochs.
    short = found.metadata.get("short", 0)
    source = None if found.folder is None else os.path.abspath(found.folder)
    return ResumePoint(**fields, short=short, arrays=found.arrays, source=source)


def to_text(point: ResumePoint | None) -> str:
    """What other workers must know of it; the arrays follow by themselves."""
    if point is None:
        return ""
    fields = {f.name: getattr(point, f.name) for f in dataclasses.fields(point)}
    return json.dumps({**fields, "arrays": None})


def from_text(text: str) -> ResumePoint | None:
    """The other side of `to_text`.

    Raises:
        DamagedError: If this process does not find the checkpoint that it reads.
    """
    if not text:
        return None
    point = ResumePoint(**json.loads(text))
    if point.source is None:
        return point
    source = pathlib.Path(point.source)
    step = int(source.name.rpartition("-")[2])  # It may be hidden: .replaced-0...40
    return dataclasses.replace(point, arrays=look(source, step).arrays)


def for_all(
    strategy: tf.distribute.Strategy, text: str, own: ResumePoint | None
) -> ResumePoint | None:
    """Where the run goes on, on each worker. All workers call it.

    Args:
        strategy: Of all.
        text: What the chief says by `to_text`.
        own: What the chief has found; None on another worker.

    Raises:
        RefusedError: On every worker, if one does not find a checkpoint that it reads.
    """
    point, problem = own, ""
    if not replicas.is_chief(strategy):
        try:
            point = from_text(text)
        except DamagedError as error:
            problem = f"{json.loads(text)['source']} ({error})"
    problems = [each for each in consensus.texts(strategy, problem) if each]
    if problems:
        raise RefusedError(
            "checkpoint: expected one that all processes can read. Received: "
            f"{problems[0]} on one of them. Put it on a file system that all hosts "
            "have."
        )
    return point


def go_back(folder: RunFolder, policy: CheckpointPolicy) -> None:
    """Takes back what a run did after a step, if `resume_from` names that step.

    Raises:
        RefusedError: If there is no whole checkpoint of that step.
    """
    if policy.resume_from is None:
        return
    source, step = _parse(policy.resume_from)
    if step is None or source.resolve() != folder.path.resolve():
        return
    own = store(folder, policy)
    found = own.read(step, mapped=True)
    if not _best_is_of(found, folder.path):
        (folder.path / layout.CHECKPOINTS / layout.BEST_WEIGHTS).unlink(missing_ok=True)
    removed = own.remove_after(step)
    say(f"back at step {step}: removed the checkpoints of steps {removed or 'none'}")


def reopen_last_epoch(folder: RunFolder, context: RunContext) -> None:
    """Takes back a last epoch that `max_steps` has cut short, if there are more now.

    It is trained again from the state before, up to its end or the new last step.

    Args:
        folder: The run folder, whose `config.json` is that of before.
        context: Of the training that goes on.
    """
    own = store(folder, context.policy)
    found = own.newest(mapped=True)[0]
    if found is None or not found.metadata.get("short"):
        return
    fields = files.read_json(folder.path, layout.CONFIG)["fields"]
    ended_at = (fields.get("max_steps") or 0) * fields.get(
        "gradient_accumulation_steps", 1
    )
    if found.step != ended_at or context.total_batches <= ended_at:
        return
    if not _best_is_of(found, folder.path, cut_short=1):
        (folder.path / layout.CHECKPOINTS / layout.BEST_WEIGHTS).unlink(missing_ok=True)
    own.remove_after(max((s for s in own.steps() if s < found.step), default=0))
    say(f"max_steps: the epoch that step {found.step} cut short is trained to its end")


def _parse(source: str) -> tuple[pathlib.Path, int | None]:
    folder, _, step = source.rpartition(":")
    if folder and step.isdecimal():
        return pathlib.Path(folder), int(step)
    return pathlib.Path(source), None


def _of_another_run(folder: RunFolder, resume_from: str, in_parts: bool) -> Checkpoint:
    source, step = _parse(resume_from)
    theirs = Store(source / layout.CHECKPOINTS)
    if step is not None:
        found, skipped = theirs.read(step, mapped=in_parts), []
    else:
        found, skipped = theirs.newest(mapped=in_parts)
    if found is None:
        raise RefusedError(
            f"resume_from: expected a run folder with a checkpoint that is whole. "
            f"Received: {source}, with {len(skipped)} damaged ones and no other."
        )
    losses = source / layout.LOSSES
    if losses.is_file():
        shutil.copyfile(losses, folder.path / layout.LOSSES)
    best = source / layout.CHECKPOINTS / layout.BEST_WEIGHTS
    if best.is_file() and _best_is_of(found, source):
        refuse_unsafe_weights(best)
        shutil.copyfile(best, folder.path / layout.CHECKPOINTS / layout.BEST_WEIGHTS)
    # Its curves go on; what came after that checkpoint is cut off.
    for events in (source / layout.TENSORBOARD).rglob(layout.EVENTS):
        target = folder.path / events.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(events, target)
    return found


def _best_is_of(found: Checkpoint, source: pathlib.Path, cut_short: int = 0) -> bool:
    """Whether a run's best weights were there when a checkpoint was saved.

    Args:
        found: The checkpoint.
        source: The run folder.
        cut_short: Of its last epochs, how many do not count.
    """
    history = files.read_history(source / layout.HISTORY)
    fields = files.read_json(source, layout.CONFIG).get("fields", {})
    monitor = monitor_of(fields, "val_loss" in history)
    values = history.get(monitor.name) or [0.0]
    return monitor.best(values) < found.metadata["epoch"] - cut_short


def _write_texts(folder: RunFolder, texts: Mapping[str, str]) -> None:
    """Files that grow with a run, as they were when its state was saved."""
    for name in (layout.HISTORY, layout.METRICS):
        path = folder.path / name
        if texts.get(name):
            path.write_bytes(texts[name].encode())
        else:
            path.unlink(missing_ok=True)
    (folder.path / layout.EVALUATION).unlink(missing_ok=True)
