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
from kerascale.callbacks import ResumePoint, StepLosses, TimeSpent, Timing, Unwritten
from kerascale.config import CheckpointPolicy, provenance
from kerascale.config.recipes import Recipe, load_recipe
from kerascale.datasets import Datasets
from kerascale.datasets.info import describe
from kerascale.engine import state
from kerascale.engine.collectives import consensus, replicas, whole
from kerascale.engine.compat import keras_private
from kerascale.engine.parity import check as parity_check
from kerascale.runs import layout, timeline
from kerascale.runs.folder import RunFolder
from kerascale.runs.run import Run
from kerascale.runtime import console, heartbeat, interrupts, run_clock
from kerascale.runtime.console import duration, say
from kerascale.runtime.prometheus.exporter import exported, refuse
from kerascale.training import (
    changes,
    dry_run,
    execution_mode,
    finish,
    fit,
    monitored,
    open_run,
    own_callbacks,
    preconditions,
    warm_start,
)
from kerascale.training.build import cut_over_mesh, make_datasets, make_model
from kerascale.training.context import RunContext
from kerascale.training.dry_run import DryRun
from kerascale.training.seeding import seed
from kerascale.training.throughput import goodput, throughput_report
from kerascale.training.wishes import Fitted, Wishes


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
    checkpoints: CheckpointPolicy | None = None,
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
            the folder; None: `CheckpointPolicy()`.
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
    policy = checkpoints or CheckpointPolicy()
    wishes = Wishes(
        dry=DryRun(fast_dev_run, overfit_batches),
        callbacks=tuple(callbacks or ()),
        init_from=init_from,
        init_partial=init_partial,
        value_sources=told,
        metrics=(metrics_host, metrics_port),
        histograms=histograms,
    )
    dry_run.refuse_contradictions(wishes.dry, run_dir, policy)
    with (
        interrupts.on_signals(),
        dry_run.temporary_folder(wishes.dry) as temporary,
        contextlib.ExitStack() as stack,
    ):
        run_clock.begin()
        stack.callback(run_clock.end)
        recipe = load_recipe(recipe)
        run_dir, policy = open_run.where_to(
            temporary or run_dir, policy, bool(wishes.dry)
        )
        config, strategy, wishes = _prepare(recipe, config, strategy, run_dir, wishes)
        config = open_run.with_task_of_before(config, run_dir, policy)
        asked = changes.asked_for(
            config, wishes.init_from, wishes.init_partial, strategy
        )
        wishes = dataclasses.replace(wishes, changes=asked)
        datasets = _load_data(recipe, config, datasets, wishes)
        open_run.refuse_other_task(config, datasets)
        if datasets.pack:  # A machine with more memory reads the same rows then.
            config = dataclasses.replace(config, pack=datasets.pack)
        context = RunContext(
            strategy,
            recipe,
            config,
            datasets,
            policy,
            depends_on=changes.depends_on(wishes.changes),
        )
        model, callbacks = _build(context, wishes)
        context, point = _open(stack, model, context, run_dir, callbacks, wishes)
        fitted = _fit(stack, model, context, point, callbacks, wishes)
        model, metrics = _finish(model, context, fitted, wishes)
    return Run(
        model=model,
        config=context.config,
        recipe=recipe.source,
        info=datasets.info if wishes.dry else finish.counted(datasets),
        history=fitted.history,
        metrics=metrics,
        path=context.path,
        vectorizer=datasets.vectorizer,
    )


def _prepare(
    recipe: Recipe,
    config: Any,
    strategy: str | tf.distribute.Strategy,
    run_dir: str | os.PathLike | None,
    wishes: Wishes,
) -> tuple[Any, tf.distribute.Strategy, Wishes]:
    """Configuration and strategy; what can be refused before data is read, is."""
    config = recipe.Config() if config is None else config
    preconditions.refuse_other_backends(strategy)
    preconditions.refuse_other_config(recipe, config)
    config = dry_run.limited_config(wishes.dry, config)
    strategy = strategies.get(strategy)
    preconditions.refuse_on_a_mesh(config, strategy)
    if not replicas.is_chief(strategy):
        console.hush()
    consensus.from_chief(
        strategy,
        lambda: refuse(wishes.metrics) or RunFolder.check(run_dir, recipe.name) or "",
    )
    if wishes.init_from is not None:
        found = warm_start.find(wishes.init_from)
        wishes = dataclasses.replace(wishes, init_from=found)
    tf.config.experimental.enable_op_determinism()
    return config, strategy, wishes


def _load_data(
    recipe: Recipe, config: Any, datasets: Datasets | None, wishes: Wishes
) -> Datasets:
    """The recipe's data, or those that were given; of a dry run, a part of them."""
    seed(config)
    if datasets is None:
        datasets = make_datasets(recipe, config)
    preconditions.refuse_undivided(config, datasets)
    say(describe(datasets.info))
    if wishes.dry:
        return dry_run.limited(wishes.dry, datasets, config)
    for change in wishes.changes:
        datasets = change.change_datasets(datasets)
    return datasets


def _build(
    context: RunContext, wishes: Wishes
) -> tuple[keras.Model, list[keras.callbacks.Callback]]:
    """The compiled model, and the callbacks of the recipe and of the user."""
    recipe, config, datasets = context.recipe, context.config, context.datasets
    # Again: what reading the data drew must not decide the weights.
    seed(config)
    with context.strategy.scope():
        model = make_model(recipe, config, datasets)
        if wishes.init_from is not None:
            warm_start.refuse_other_vocabulary(datasets.vectorizer, wishes.init_from)
            warm_start.load(model, wishes.init_from, partial=wishes.init_partial)
        for change in wishes.changes:
            model = change.change_model(model, context)
    cut_over_mesh(model, context.strategy, datasets)
    monitored.refuse_unknown(model, config, datasets.validation is not None)
    say(f"model: {model.name}, {model.count_params():,} parameters")
    of_recipe = recipe.make_callbacks(config) if recipe.make_callbacks else ()
    of_changes = [c for change in wishes.changes for c in change.callbacks(context)]
    return model, [*of_changes, *of_recipe, *wishes.callbacks]


def _open(
    stack: contextlib.ExitStack,
    model: keras.Model,
    context: RunContext,
    run_dir: str | os.PathLike | None,
    callbacks: Sequence[keras.callbacks.Callback],
    wishes: Wishes,
) -> tuple[RunContext, ResumePoint | None]:
    """Opens the run folder, chooses how steps are executed, writes `config.json`."""
    # What a dry run saves is in a folder of the chief's own.
    in_parts = state.is_cut(model) and not wishes.dry
    context = dataclasses.replace(context, in_parts=in_parts)
    context, point = open_run.open_for_all(stack, context, run_dir)
    asked = context.config
    for change in wishes.changes:
        change.open(model, context)
    context = execution_mode.choose(model, context, callbacks)
    if context.folder is not None:
        context.folder.write_config(
            context.recipe,
            context.config,
            context.datasets.info,
            strategies.describe(context.strategy),
            origins=provenance.find(asked, context.config, wishes.value_sources),
            init_from=wishes.init_from,
            init_partial=wishes.init_partial,
            check=parity_check.asked_check(model),
            compute_dtype=keras_private.compute_dtype(model),
            depends_on=context.depends_on,
        )
    say(wishes.dry.note or f"run folder: {context.path}")
    return context, point


def _fit(
    stack: contextlib.ExitStack,
    model: keras.Model,
    context: RunContext,
    point: ResumePoint | None,
    callbacks: Sequence[keras.callbacks.Callback],
    wishes: Wishes,
) -> Fitted:
    """Trains, from where the run goes on to its last epoch."""
    folder, policy = context.folder, context.policy
    steps_per_epoch = context.steps_per_epoch
    labels = {"recipe": context.recipe.name, "run_dir": str(context.path)}
    address = wishes.metrics if replicas.is_chief(context.strategy) else None
    exporting = exported(address, labels, policy.save_every_seconds)
    exported_state = stack.enter_context(exporting)
    loss_before = dry_run.loss_before(wishes.dry, model, context.datasets)
    done = 0 if point is None else point.done(steps_per_epoch)
    stack.enter_context(timeline.recorded(folder and folder.path, done))
    seed(context.config)
    unwritten = Unwritten(policy.on_save_failure)
    kept_from = max((c.first_epoch_to_keep(context) for c in wishes.changes), default=0)
    own = own_callbacks.make(context, unwritten, wishes.histograms, kept_from)
    timing, record, last = None, None, []
    first = [c for each in wishes.changes for c in each.callbacks_in_front(context)]
    if folder is not None:
        timing = Timing(steps_per_epoch)
        record = goodput.Record(folder, done)
        spent = TimeSpent(steps_per_epoch, done, record.write_at)
        first = [spent, *first, timing]
        stack.callback(spent.write)
        last = [StepLosses(folder.path / layout.LOSSES, steps_per_epoch)]
    if context.datasets.block_check is not None:
        stack.callback(context.datasets.block_check.stop)
    began = time.monotonic()
    history = fit.fit(
        model,
        context,
        callbacks=[*first, *own, *last, *callbacks],
        point=point,
        exported=exported_state,
        unwritten=unwritten,
    )
    heartbeat.beat(heartbeat.ENDING)
    say(f"trained for {duration(time.monotonic() - began)}")
    return Fitted(history, own, timing, loss_before, record)


def _finish(
    model: keras.Model, context: RunContext, fitted: Fitted, wishes: Wishes
) -> tuple[keras.Model, dict[str, Any]]:
    """The best weights, the final numbers, the files. Returns model and numbers."""
    folder, datasets, dry = context.folder, context.datasets, wishes.dry
    finish.take_best_weights(model, context, fitted.callbacks, fitted.history)
    trained = model
    for change in wishes.changes:
        model = change.finish_model(model)
    with run_clock.within(run_clock.EVALUATING):
        metrics = finish.evaluate_finally(model, datasets)
        for change in wishes.changes:
            metrics |= change.results(model, datasets)
    if dry.overfit_batches:
        metrics |= {"split": "training", "loss_before": fitted.loss_before}
        say(dry_run.judge(dry.overfit_batches, metrics).text)
    with whole.on_host(model, by_all=not context.in_parts):
        if folder is not None:
            for change in wishes.changes:
                change.write_files(folder.path)
            finish.save(model, context, metrics)
    if not dry:
        throughput_report.report_on(trained, context, fitted.timing, fitted.record)
    consensus.wait_for_all(context.strategy)
    return model, metrics
