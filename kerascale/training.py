"""`train`: a recipe, trained with `model.fit`, into a run folder."""

import contextlib
import dataclasses
import os
import pathlib
import time
import types
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale import (
    console,
    executing,
    heartbeat,
    initial_weights,
    reopening,
    resumable_fit,
    resuming,
    runs,
    stopping,
    strategies,
)
from kerascale.assembly import make_datasets, make_model
from kerascale.callbacks import (
    Resumed,
    SaveWeights,
    Unwritten,
    standard_callbacks,
    worker_callbacks,
)
from kerascale.callbacks.standard import BEST_WEIGHTS
from kerascale.console import duration, say
from kerascale.datasets import Datasets
from kerascale.engine import agreement, replicas
from kerascale.errors import RefusedError
from kerascale.evaluation import evaluate
from kerascale.fields import to_dict
from kerascale.registry import Recipe, load_recipe
from kerascale.resuming import Checkpoints


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
    histograms: bool = False,
) -> runs.Run:
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
    with stopping.on_signals():
        return _train(
            load_recipe(recipe),
            config,
            strategy=strategy,
            run_dir=run_dir,
            callbacks=callbacks or (),
            init_from=init_from,
            init_partial=init_partial,
            datasets=datasets,
            plan=checkpoints or Checkpoints(),
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
    histograms: bool,
) -> runs.Run:
    config = recipe.Config() if config is None else config
    restarted_in = heartbeat.restarted_in()
    if restarted_in is not None:
        # The same job again: it goes on, wherever it was to begin.
        run_dir, plan = restarted_in, dataclasses.replace(plan, fresh=False)
    _refuse_other_backends()
    _refuse_other_config(recipe, config)
    strategy = strategies.get(strategy)
    is_chief = replicas.is_chief(strategy)
    if not is_chief:
        console.hush()
    # What can be refused without the data, before it is read.
    agreement.from_chief(
        strategy, lambda: runs.RunFolder.check(run_dir, recipe.name) or ""
    )
    if init_from is not None:
        init_from = initial_weights.find(init_from)
    tf.config.experimental.enable_op_determinism()
    _seed(config)
    if datasets is None:
        datasets = make_datasets(recipe, config)
    say(_describe(datasets))
    # Again: what reading the data drew must not decide the weights.
    _seed(config)
    with strategy.scope():
        model = make_model(recipe, config, datasets)
        if init_from is not None:
            initial_weights.refuse_other_vocabulary(datasets.vectorizer, init_from)
            initial_weights.load(model, init_from, partial=init_partial)
    say(f"model: {model.name}, {model.count_params():,} parameters")
    callbacks = [
        *(recipe.make_callbacks(config) if recipe.make_callbacks else ()),
        *callbacks,
    ]
    with contextlib.ExitStack() as stack:
        folder, path, resumed = _open_folder(
            stack, strategy, run_dir, recipe, config, datasets, plan
        )
        config = executing.set_form(
            model, config, datasets, callbacks, folder, plan.every_steps
        )
        if folder is not None:
            folder.write_config(
                recipe,
                config,
                datasets.info,
                strategies.describe(strategy),
                init_from=init_from,
                init_partial=init_partial,
            )
        say(f"run folder: {path}")
        _seed(config)
        unwritten = Unwritten(plan.on_save_failure)
        own = _own_callbacks(folder, config, datasets, unwritten, histograms)
        began = time.monotonic()
        history = resumable_fit.fit(
            model,
            datasets,
            epochs=getattr(config, "epochs", 1),
            callbacks=[*own, *callbacks],
            folder=folder,
            plan=plan,
            resumed=resumed,
            unwritten=unwritten,
        )
        heartbeat.beat(heartbeat.ENDING)
        say(f"trained for {duration(time.monotonic() - began)}")
        if folder is not None:
            _take_best_weights(model, own, folder, history, config)
        agreement.take_from_chief(strategy, model.variables)
        metrics = _final_evaluation(model, datasets)
        if folder is not None:
            _save(model, datasets, folder, metrics)
        agreement.wait_for_all(strategy)
    return runs.Run(
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


def _open_folder(
    stack: contextlib.ExitStack,
    strategy: tf.distribute.Strategy,
    run_dir: str | os.PathLike | None,
    recipe: Recipe,
    config: Any,
    datasets: Datasets,
    plan: Checkpoints,
) -> tuple[runs.RunFolder | None, pathlib.Path, Resumed | None]:
    """The run folder, for the chief; its path, and where the run goes on, for all."""
    folder, resumed = None, None
    wanted = None if run_dir is None else pathlib.Path(run_dir)

    def make() -> str:
        nonlocal folder, resumed
        opened = reopening.open_folder(wanted, recipe, config, datasets.info, plan)
        folder = stack.enter_context(opened)
        resuming.store(folder, plan).check_writable()
        if heartbeat.restarted_in() is None:
            resuming.go_back(folder, plan)
        resumed = resuming.find(folder, plan, datasets.steps_per_epoch)
        return f"{folder.path}\n{resuming.to_text(resumed)}"

    where, _, text = agreement.from_chief(strategy, make).partition("\n")
    path = pathlib.Path(where)
    done = 0 if resumed is None else resumed.done(datasets.steps_per_epoch)
    heartbeat.beat(heartbeat.STARTING, step=done, run_dir=path)
    if folder is None:
        resumed = resuming.from_text(text)
        console.log_to(f"{path}.worker-{replicas.worker_index(strategy)}.log")
    return folder, path, resumed


def _own_callbacks(
    folder: runs.RunFolder | None,
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
        history_name=runs.HISTORY,
        metrics_name=runs.METRICS,
        checkpoints_name=runs.CHECKPOINTS,
        tensorboard_name=runs.TENSORBOARD,
        unwritten=unwritten,
        fields=to_dict(config),
        inputs=datasets.train.for_evaluation().dataset().element_spec[0],
        histograms=histograms,
    )


def _take_best_weights(
    model: keras.Model,
    callbacks: Sequence[keras.callbacks.Callback],
    folder: runs.RunFolder,
    history: dict[str, list[float]],
    config: Any,
) -> None:
    best = folder.path / runs.CHECKPOINTS / BEST_WEIGHTS
    if not best.exists():  # With epochs=0 there is none.
        return
    model.load_weights(best)
    monitor = "val_loss" if "val_loss" in history else "loss"
    losses = history[monitor]
    planned = getattr(config, "epochs", len(losses))
    early = (
        f"stopped early after epoch {len(losses)}; " if len(losses) < planned else ""
    )
    known = [c.best_epoch for c in callbacks if isinstance(c, SaveWeights)]
    # Nothing was trained: they are of before.
    epoch = next((e for e in known if e is not None), losses.index(min(losses)))
    say(f"{early}best weights by {monitor}: those of epoch {epoch + 1}")


def _final_evaluation(model: keras.Model, datasets: Datasets) -> dict[str, Any]:
    for split in ("test", "validation"):
        source = getattr(datasets, split)
        if source is not None:
            values = evaluate(model, source.for_evaluation(), datasets.info)
            return {"split": split, **values}
    return {}


def _save(
    model: keras.Model,
    datasets: Datasets,
    folder: runs.RunFolder,
    metrics: dict[str, Any],
) -> None:
    model.save(folder.path / runs.MODEL)
    if datasets.vectorizer is not None:
        texts = keras.Input((), dtype="string", name="text")
        vectorizer = keras.Model(texts, datasets.vectorizer(texts))
        vectorizer.save(folder.path / runs.VECTORIZER)
    split = datasets.test or datasets.validation or datasets.train
    batch = next(iter(split.for_evaluation().dataset()))
    runs.write_examples(folder.path / runs.EXAMPLES, batch)
    # Last: its presence says that the run has finished.
    folder.write_json(runs.EVALUATION, metrics)
