"""`model.fit` that is saved, goes on where it was, and goes back from a blow-up."""

import dataclasses
from collections.abc import Callable, Sequence

import keras

from kerascale.callbacks import (
    ExportMetrics,
    Heartbeat,
    ResumePoint,
    SaveCheckpoints,
    Unwritten,
    states,
)
from kerascale.callbacks.check_blocks import CheckBlocks
from kerascale.config import CheckpointPolicy
from kerascale.engine import state
from kerascale.engine.collectives import consensus, whole
from kerascale.errors import NonFiniteError, SaveFailedError, StoppedError
from kerascale.optimizers import rollback_rates
from kerascale.runs import layout, timeline
from kerascale.runs.checkpoint import PartStore, Writer
from kerascale.runtime import console, interrupts
from kerascale.runtime.console import say
from kerascale.runtime.prometheus.training_state import TrainingState
from kerascale.training import resume
from kerascale.training.context import RunContext


def fit(
    model: keras.Model,
    context: RunContext,
    *,
    callbacks: Sequence[keras.callbacks.Callback],
    point: ResumePoint | None,
    unwritten: Unwritten,
    exported: TrainingState | None = None,
) -> dict[str, list[float]]:
    """Trains until the last epoch, or `max_steps`. All workers call it.

    Args:
        model: Compiled and built.
        context: Of the training.
        callbacks: Keras callbacks; what they remember is saved and given back.
        point: Where the run goes on; None: it is new.
        unwritten: What the callbacks could not write.
        exported: What others read of the training; None: nobody does.

    Returns:
        Name -> value of each epoch.

    Raises:
        NonFiniteError: If the loss or a weight becomes NaN or infinite, and no
            rollback is left.
        SaveFailedError: If a checkpoint could not be written, and the policy says
            that training ends then, or must end with it.
        StoppedError: If a signal has asked to stop; the state is saved.
    """
    state_of_training = exported or TrainingState()
    while True:
        saver = _saver(context, callbacks, point, state_of_training)
        watching = _watching(context, exported, point)
        try:
            with console.live(), interrupts.between_steps():
                _fit(model, context, [*watching, *callbacks, saver], point)
                with whole.on_host(model, by_all=not context.in_parts):
                    _write_what_waits(callbacks, unwritten)
                _stop_if_asked(model, saver)
            return saver.history
        except NonFiniteError as error:
            state_of_training.blew_up()
            saver.wait()
            point = _back(context, saver.rollbacks, error)
            state_of_training.rolled_back()
        except BaseException:
            saver.hurry()
            raise


def _watching(
    context: RunContext, exported: TrainingState | None, point: ResumePoint | None
) -> list[keras.callbacks.Callback]:
    """Callbacks that tell others how far it is, and have no memory."""
    watching = [Heartbeat(context.steps_per_epoch)]
    if context.datasets.block_check is not None:
        watching.append(CheckBlocks(context.datasets.block_check))
    if exported is not None:
        first_step = (point or ResumePoint()).step
        train = context.datasets.train
        planned = context.total_batches
        watching.append(ExportMetrics(exported, train, first_step, planned))
    return watching


def _saver(
    context: RunContext,
    callbacks: Sequence[keras.callbacks.Callback],
    point: ResumePoint | None,
    exported: TrainingState,
) -> SaveCheckpoints:
    writer, files = None, {}
    failed: list[SaveFailedError] = []
    folder, policy = context.folder, context.policy
    peers = consensus.peers() if context.in_parts else None
    if folder is not None or peers is not None:
        writer = Writer(
            resume.store(folder, policy, peers)
            if folder is not None
            else PartStore(context.path / layout.CHECKPOINTS, peers),
            on_error=_on_error(failed, policy, exported),
        )
    if folder is not None:
        names = (layout.HISTORY, layout.METRICS)
        files = {name: folder.path / name for name in names}
    return SaveCheckpoints(
        writer,
        context.steps_per_epoch,
        remembering=callbacks,
        files=files,
        every_steps=policy.save_every_steps,
        every_seconds=policy.save_every_seconds,
        save_first=policy.on_nan == "rollback",
        resumed=point,
        failed=failed,
        saved=exported.saved,
        in_parts=context.in_parts,
        is_chief=folder is not None,
    )


def _on_error(
    failed: list[SaveFailedError], policy: CheckpointPolicy, exported: TrainingState
) -> Callable[[BaseException], None]:
    """What follows when a checkpoint could not be written."""

    def note(error: BaseException) -> None:
        exported.save_failed()
        if policy.on_save_failure == "stop" or not isinstance(error, SaveFailedError):
            raise error
        failed.append(error)
        say(f"{error} Training goes on (--on-save-failure continue).")

    return note


def _fit(
    model: keras.Model,
    context: RunContext,
    callbacks: Sequence[keras.callbacks.Callback],
    point: ResumePoint | None,
) -> None:
    train = context.datasets.train
    begin = point or ResumePoint()
    if point is not None:
        train = train.starting_at(begin.step)
        if begin.stop or begin.epoch >= context.epochs:
            # All is trained; what came after was interrupted.
            state.restore(model, begin.arrays, metrics=False)
            _remember_what_waited(model, callbacks, begin)
            return
    if context.max_batches is not None:
        train = train.ending_at(context.max_batches)
    if begin.rate != 1.0:
        rollback_rates.lower_schedule(model, begin.rate)
    model.fit(
        train,
        epochs=context.epochs,
        initial_epoch=begin.epoch,
        validation_data=context.datasets.validation,
        callbacks=callbacks,
        verbose=0,
    )


def _remember_what_waited(
    model: keras.Model,
    callbacks: Sequence[keras.callbacks.Callback],
    point: ResumePoint,
) -> None:
    """What could not be written in a run that was interrupted behind its last step."""
    writing = [c for c in callbacks if hasattr(c, "write_now")]
    for callback in writing:
        callback.set_model(model)
    states.set_states(writing, point.callbacks or [], all_of_them=False)


def _write_what_waits(
    callbacks: Sequence[keras.callbacks.Callback], unwritten: Unwritten
) -> None:
    for callback in callbacks:
        if hasattr(callback, "write_now"):
            callback.write_now()
    unwritten.refuse()


def _stop_if_asked(model: keras.Model, saver: SaveCheckpoints) -> None:
    """A signal that came after the last step: the end of the last epoch is saved."""
    asked = [int(interrupts.requested())]
    if consensus.gather(model.distribute_strategy, asked).any():
        saver.refuse_unsaved()
        raise StoppedError(saver.step)


def _back(context: RunContext, rollbacks: int, error: NonFiniteError) -> ResumePoint:
    """The state to go back to after a blow-up, with a lower rate; or the error."""
    folder, policy = context.folder, context.policy
    if policy.on_nan != "rollback":
        raise error
    if rollbacks >= policy.max_rollbacks:
        raise NonFiniteError(
            f"{error} Given up after {rollbacks} rollbacks (--max-rollbacks)."
        ) from error
    rollbacks += 1
    say(f"{error}")
    point = None

    def find() -> str:
        nonlocal point
        point = resume.find(
            folder, policy, context.steps_per_epoch, in_parts=context.in_parts
        )
        return resume.to_text(point)

    text = consensus.from_chief(context.strategy, find)
    point = resume.for_all(context.strategy, text, point)
    if point is None:
        raise error
    lower = policy.rollback_factor ** (rollbacks - point.rollbacks)
    rate = point.rate * lower
    step = point.done(context.steps_per_epoch)
    say(
        f"rollback {rollbacks} of at most {policy.max_rollbacks}: back at step {step}, "
        f"the learning rate times {rate:g}"
    )
    if folder is not None:
        timeline.note(folder.path, "rolled back", step=step, learning_rate_times=rate)
    return dataclasses.replace(point, rollbacks=rollbacks, rate=rate, lower=lower)
