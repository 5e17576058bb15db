"""`model.fit` that is saved, goes on where it was, and goes back from a blow-up."""

import dataclasses
from collections.abc import Callable, Sequence

import keras

from kerascale.callbacks import (
    ExportMetrics,
    Heartbeat,
    Resumed,
    SaveCheckpoints,
    Unwritten,
    states,
)
from kerascale.datasets import Datasets
from kerascale.engine import state
from kerascale.engine.collectives import consensus
from kerascale.errors import NonFiniteError, SaveFailedError, StoppedError
from kerascale.optimizers import rollback_rates
from kerascale.runs import layout, timeline
from kerascale.runs.checkpoint import Writer
from kerascale.runs.folder import RunFolder
from kerascale.runtime import console, interrupts
from kerascale.runtime.console import say
from kerascale.runtime.prometheus.training_state import TrainingState
from kerascale.training import resume
from kerascale.training.resume import Checkpoints


def fit(
    model: keras.Model,
    datasets: Datasets,
    *,
    epochs: int,
    callbacks: Sequence[keras.callbacks.Callback],
    folder: RunFolder | None,
    plan: Checkpoints,
    resumed: Resumed | None,
    unwritten: Unwritten,
    exported: TrainingState | None = None,
) -> dict[str, list[float]]:
    """Trains until the last epoch. All workers call it.

    Args:
        model: Compiled and built.
        datasets: Its data.
        epochs: Passes over the training data, with those that are done.
        callbacks: Keras callbacks; what they remember is saved and given back.
        folder: The run folder; None on a worker that is not the chief.
        plan: When the state is saved, and what follows on a blow-up.
        resumed: Where the run goes on; None: it is new.
        unwritten: What the callbacks could not write.
        exported: What others read of the training; None: nobody does.

    Returns:
        Name -> value of each epoch.

    Raises:
        NonFiniteError: If the loss or a weight becomes NaN or infinite, and no
            rollback is left.
        SaveFailedError: If a checkpoint could not be written, and the plan says
            that training ends then, or must end with it.
        StoppedError: If a signal has asked to stop; the state is saved.
    """
    told = exported or TrainingState()
    while True:
        saver = _saver(folder, callbacks, datasets, plan, resumed, told)
        watching = _watching(datasets, exported, resumed)
        try:
            with console.live(), interrupts.between_steps():
                _fit(model, datasets, epochs, [*watching, *callbacks, saver], resumed)
                _write_what_waits(callbacks, unwritten)
                _stop_if_asked(model, saver)
            return saver.history
        except NonFiniteError as error:
            told.blew_up()
            saver.wait()
            resumed = _back(model, folder, plan, datasets, saver.rollbacks, error)
            told.rolled_back()
        except BaseException:
            saver.hurry()
            raise


def _watching(
    datasets: Datasets, exported: TrainingState | None, resumed: Resumed | None
) -> list[keras.callbacks.Callback]:
    """Callbacks that tell others how far it is, and have no memory."""
    watching = [Heartbeat(datasets.steps_per_epoch)]
    if exported is not None:
        first_step = (resumed or Resumed()).step
        watching.append(ExportMetrics(exported, datasets.train, first_step))
    return watching


def _saver(
    folder: RunFolder | None,
    callbacks: Sequence[keras.callbacks.Callback],
    datasets: Datasets,
    plan: Checkpoints,
    resumed: Resumed | None,
    exported: TrainingState,
) -> SaveCheckpoints:
    writer, files = None, {}
    failed: list[SaveFailedError] = []
    if folder is not None:
        writer = Writer(
            resume.store(folder, plan),
            on_error=_tell(failed, plan, exported),
        )
        names = (layout.HISTORY, layout.METRICS)
        files = {name: folder.path / name for name in names}
    return SaveCheckpoints(
        writer,
        datasets.steps_per_epoch,
        remembering=callbacks,
        files=files,
        every_steps=plan.every_steps,
        every_seconds=plan.every_seconds,
        save_first=plan.on_nan == "rollback",
        resumed=resumed,
        failed=failed,
        saved=exported.saved,
    )


def _tell(
    failed: list[SaveFailedError], plan: Checkpoints, exported: TrainingState
) -> Callable[[BaseException], None]:
    def tell(error: BaseException) -> None:
        exported.save_failed()
        if plan.on_save_failure == "stop" or not isinstance(error, SaveFailedError):
            raise error
        failed.append(error)
        say(f"{error} Training goes on (--on-save-failure continue).")

    return tell


def _fit(
    model: keras.Model,
    datasets: Datasets,
    epochs: int,
    callbacks: Sequence[keras.callbacks.Callback],
    resumed: Resumed | None,
) -> None:
    train = datasets.train
    begin = resumed or Resumed()
    if resumed is not None:
        train = train.starting_at(begin.step)
        if begin.stop or begin.epoch >= epochs:
            # All is trained; what came after was interrupted.
            state.restore(model, begin.arrays, metrics=False)
            _remember_what_waited(model, callbacks, begin)
            return
    if begin.rate != 1.0:
        rollback_rates.lower_schedule(model, begin.rate)
    model.fit(
        train,
        epochs=epochs,
        initial_epoch=begin.epoch,
        validation_data=datasets.validation,
        callbacks=callbacks,
        verbose=0,
    )


def _remember_what_waited(
    model: keras.Model,
    callbacks: Sequence[keras.callbacks.Callback],
    resumed: Resumed,
) -> None:
    """What could not be written in a run that was interrupted behind its last step."""
    writing = [c for c in callbacks if hasattr(c, "write_now")]
    for callback in writing:
        callback.set_model(model)
    states.set_states(writing, resumed.callbacks or [], all_of_them=False)


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


def _back(
    model: keras.Model,
    folder: RunFolder | None,
    plan: Checkpoints,
    datasets: Datasets,
    rollbacks: int,
    error: NonFiniteError,
) -> Resumed:
    """The state to go back to after a blow-up, with a lower rate; or the error."""
    if plan.on_nan != "rollback":
        raise error
    if rollbacks >= plan.max_rollbacks:
        raise NonFiniteError(
            f"{error} Given up after {rollbacks} rollbacks (--max-rollbacks)."
        ) from error
    rollbacks += 1
    say(f"{error}")
    resumed = None

    def find() -> str:
        nonlocal resumed
        resumed = resume.find(folder, plan, datasets.steps_per_epoch)
        return resume.to_text(resumed)

    text = consensus.from_chief(model.distribute_strategy, find)
    if folder is None:
        resumed = resume.from_text(text)
    if resumed is None:
        raise error
    lower = plan.rollback_factor ** (rollbacks - resumed.rollbacks)
    rate = resumed.rate * lower
    step = resumed.done(datasets.steps_per_epoch)
    say(
        f"rollback {rollbacks} of at most {plan.max_rollbacks}: back at step {step}, "
        f"the learning rate times {rate:g}"
    )
    if folder is not None:
        timeline.note(folder.path, "rolled back", step=step, learning_rate_times=rate)
    return dataclasses.replace(resumed, rollbacks=rollbacks, rate=rate, lower=lower)
