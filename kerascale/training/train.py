"""`train`: a recipe, trained with `model.fit`, into a run folder."""

import contextlib
import dataclasses
import os
import time
import types
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale import strategies
from kerascale.callbacks import (
    StepLosses,
    Timing,
    Unwritten,
    standard_callbacks,
    worker_callbacks,
)
from kerascale.config import provenance
from kerascale.config.fields import to_dict
from kerascale.config.recipes import Recipe, load_recipe
from kerascale.datasets import Datasets
from kerascale.engine.collectives import consensus, replicas
from kerascale.errors import RefusedError
from kerascale.runs import layout, timeline
from kerascale.runs.folder import RunFolder
from kerascale.runs.run import Run
from kerascale.runtime import console, heartbeat, interrupts
from kerascale.runtime.console import duration, say
from kerascale.runtime.prometheus.exporter import Address, exported, refuse
from kerascale.training import (
    dry_run,
    execution_mode,
    finish,
    fit,
    open_run,
    warm_start,
)
from kerascale.training.build import make_datasets, make_model
from kerascale.training.dry_run import Rehearsal
from kerascale.training.resume import Checkpoints
from kerascale.training.throughput import throughput_report


def train(
    recipe: str | Recipe | types.ModuleType,
    config: Any = None,
    *,
    strategy: str | tf.distribute.Strategy = "auto",
    run_dir: str | os.PathLike | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    init_from: str | os.PathLike | None = None,
    init_partial: bool = False,
    datasets: Datasets | None = None,
    checkpoints: Checkpoints | None = None,
    fast_dev_run: bool = False,
    overfit_batches: int | None = None,
    told: Mapping[str, str] | None = None,
    metrics_port: int | None = None,
    metrics_host: str = "127.0.0.1",
    histograms: bool = False,
) -> Run:
    """Trains a recipe with `model.fit` and leaves a run folder.

    The same recipe, configuration and seed give the same history: to the last digit
    on the same strategy and type of machine, within rounding on any other.

    On several workers every process calls it. The chief writes the run folder; what
    another worker has to say goes into a file beside it.

    Args:
        recipe: A recipe, or what `load_recipe` takes.
        config: The recipe's `Config`; None: its defaults.
        strategy: See `kerascale.strategies.get`.
        run_dir: The run folder: new, empty, or that of a run which was interrupted
            and goes on; None: `runs/RECIPE/N`.
        callbacks: Keras callbacks to add to the standard ones.
        init_from: A run folder, `.keras` or `.weights.h5` file whose weights the
            model starts from.
        init_partial: Whether variables that `init_from` lacks, or has in another
            shape, may keep their initial values; each is listed.
        datasets: Data from Python, in place of the recipe's own: what
            `kerascale.datasets.from_arrays` or `from_tf_data` returns.
        checkpoints: When the state is saved, and what is done with an older run in
            the folder; None: `Checkpoints()`.
        fast_dev_run: One update, and one batch of validation and evaluation, to see
            that all of it works. No run folder is left.
        overfit_batches: Train on that many batches alone, without augmentation, to
            see whether the loss comes down at all. No run folder is left.
        told: Field -> where its value came from, `file` or `command line`, for those
            that did; the run keeps it. None: `config` was made in Python.
        metrics_port: Where Prometheus reads how the training goes; 0: any port that
            is free; None: nowhere. Of several workers the chief is read.
        metrics_host: The address to listen on; `0.0.0.0` for all, without encryption
            or a password.
        histograms: Whether TensorBoard gets the distribution of each variable after
            each epoch.

    Returns:
        The run. Its model has the best weights by validation loss.

    Raises:
        RefusedError: If anything is wrong that can be known before the first step.
        NonFiniteError: If the loss or a weight becomes NaN or infinite, and no
            rollback is left.
        StoppedError: If SIGTERM or SIGINT asked to stop; the state is saved.
        DamagedRunError: If the run that should go on has no whole checkpoint.

    Example:

    ```python
    recipe = ks.load_recipe("mlp")
    run = ks.train(recipe, recipe.Config(epochs=3), run_dir="runs/mine")
    print(run.metrics["accuracy"])
    ```
    """
    plan = checkpoints or Checkpoints()
    wanted = Rehearsal(fast_dev_run, overfit_batches)
    dry_run.refuse_contradictions(wanted, run_dir, plan)
    with interrupts.on_signals(), dry_run.temporary_folder(wanted) as temporary:
        return _train(
            load_recipe(recipe),
            config,
            strategy=strategy,
            run_dir=temporary or run_dir,
            callbacks=callbacks or (),
            init_from=init_from,
            init_partial=init_partial,
            datasets=datasets,
            plan=plan,
            wanted=wanted,
            told=told,
            metrics=(metrics_host, metrics_port),
            histograms=histograms,
        )


def _train(
    recipe: Recipe,
    config: Any,
    *,
    strategy: str | tf.distribute.Strategy,
    run_dir: str | os.PathLike | None,
    callbacks: Sequence[keras.callbacks.Callback],
    init_from: str | os.PathLike | None,
    init_partial: bool,
    datasets: Datasets | None,
    plan: Checkpoints,
    wanted: Rehearsal,
    told: Mapping[str, str] | None,
    metrics: Address,
    histograms: bool,
) -> Run:
    config = recipe.Config() if config is None else config
    restarted_in = heartbeat.restarted_in()
    if restarted_in is not None and not wanted:
        # The same job again: it goes on, wherever it was to begin.
        run_dir, plan = restarted_in, dataclasses.replace(plan, fresh=False)
    _refuse_other_backends()
    _refuse_other_config(recipe, config)
    config = dry_run.limited_config(wanted, config)
    strategy = strategies.get(strategy)
    is_chief = replicas.is_chief(strategy)
    if not is_chief:
        console.hush()
    # What can be refused without the data, before it is read.
    consensus.from_chief(
        strategy,
        lambda: refuse(metrics) or RunFolder.check(run_dir, recipe.name) or "",
    )
    if init_from is not None:
        init_from = warm_start.find(init_from)
    tf.config.experimental.enable_op_determinism()
    _seed(config)
    if datasets is None:
        datasets = make_datasets(recipe, config)
    if wanted:
        datasets = dry_run.limited(wanted, datasets, config)
    say(_describe(datasets))
    # Again: what reading the data drew must not decide the weights.
    _seed(config)
    with strategy.scope():
        model = make_model(recipe, config, datasets)
        if init_from is not None:
            warm_start.refuse_other_vocabulary(datasets.vectorizer, init_from)
            warm_start.load(model, init_from, partial=init_partial)
    say(f"model: {model.name}, {model.count_params():,} parameters")
    callbacks = [
        *(recipe.make_callbacks(config) if recipe.make_callbacks else ()),
        *callbacks,
    ]
    with contextlib.ExitStack() as stack:
        folder, path, resumed = open_run.open_for_all(
            stack, strategy, run_dir, recipe, config, datasets, plan
        )
        asked = config
        config = execution_mode.set_form(
            model, config, datasets, callbacks, folder, plan.every_steps
        )
        if folder is not None:
            folder.write_config(
                recipe,
                config,
                datasets.info,
                strategies.describe(strategy),
                origins=provenance.find(asked, config, told),
                init_from=init_from,
                init_partial=init_partial,
            )
        say(wanted.note or f"run folder: {path}")
        labels = {"recipe": recipe.name, "run_dir": str(path)}
        state = stack.enter_context(
            exported(metrics if is_chief else None, labels, plan.every_seconds)
        )
        before = dry_run.loss_before(wanted, model, datasets)
        done = 0 if resumed is None else resumed.done(datasets.steps_per_epoch)
        stack.enter_context(timeline.recorded(folder and folder.path, done))
        _seed(config)
        unwritten = Unwritten(plan.on_save_failure)
        own = _own_callbacks(folder, config, datasets, unwritten, histograms)
        timed = [] if folder is None else [Timing(datasets.steps_per_epoch)]
        recorded = timed and [
            StepLosses(folder.path / layout.LOSSES, datasets.steps_per_epoch)
        ]
        began = time.monotonic()
        history = fit.fit(
            model,
            datasets,
            epochs=getattr(config, "epochs", 1),
            callbacks=[*timed, *own, *recorded, *callbacks],
            folder=folder,
            plan=plan,
            resumed=resumed,
            exported=state,
            unwritten=unwritten,
        )
        heartbeat.beat(heartbeat.ENDING)
        say(f"trained for {duration(time.monotonic() - began)}")
        if folder is not None:
            finish.take_best_weights(model, own, folder, history, config)
        consensus.take_from_chief(strategy, model.variables)
        metrics = finish.evaluate_finally(model, datasets)
        if wanted.overfit_batches:
            metrics |= {"split": "training", "loss_before": before}
            say(dry_run.judge(wanted.overfit_batches, metrics).text)
        if folder is not None:
            finish.save(model, datasets, folder, metrics)
        if not wanted:
            throughput_report.report_on(model, datasets, folder, *timed)
        consensus.wait_for_all(strategy)
    return Run(
        model=model,
        config=config,
        recipe=recipe.source,
        info=datasets.info,
        history=history,
        metrics=metrics,
        path=path,
        vectorizer=datasets.vectorizer,
    )


def _refuse_other_backends() -> None:
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise RefusedError(
            "kerascale trains on Keras' TensorFlow backend. Received: the backend "
            f"{backend!r}. Set KERAS_BACKEND=tensorflow, or unset it, before Python "
            "starts."
        )


def _refuse_other_config(recipe: Recipe, config: Any) -> None:
    if not isinstance(config, recipe.Config):
        raise RefusedError(
            f"config: expected {recipe.name}'s Config. Received: an object of type "
            f"{type(config).__name__}."
        )


def _seed(config: Any) -> None:
    # Keras takes 32 bits of seed, for Python's and NumPy's generators.
    keras.utils.set_random_seed(getattr(config, "seed", 0) % 2**32)


def _describe(datasets: Datasets) -> str:
    info = datasets.info
    sizes = ", ".join(f"{count:,} {name}" for name, count in info.num_examples.items())
    classes = f", {info.num_classes} classes" if info.class_names else ""
    # A text differs between Python versions, a file may change under its name.
    sha256 = f", sha256 {info.fingerprint}" if info.fingerprint else ""
    return f"data: {info.name} ({info.kind or 'tf.data'}): {sizes}{classes}{sha256}"


def _own_callbacks(
    folder: RunFolder | None,
    config: Any,
    datasets: Datasets,
    unwritten: Unwritten,
    histograms: bool,
) -> list[keras.callbacks.Callback]:
    patience = getattr(config, "early_stopping_patience", None)
    has_validation = datasets.validation is not None
    if folder is None:
        return worker_callbacks(has_validation, patience)
    return standard_callbacks(
        folder.path,
        examples_per_epoch=datasets.train.num_examples,
        steps_per_epoch=datasets.steps_per_epoch,
        has_validation=has_validation,
        early_stopping_patience=patience,
        history_name=layout.HISTORY,
        metrics_name=layout.METRICS,
        checkpoints_name=layout.CHECKPOINTS,
        tensorboard_name=layout.TENSORBOARD,
        unwritten=unwritten,
        fields=to_dict(config),
        inputs=datasets.train.for_evaluation().dataset().element_spec[0],
        histograms=histograms,
    )
