"""What a process trains: its model, and its data in steps of planned sizes."""

import dataclasses
import importlib
import inspect
import pathlib
import pickle
import runpy
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale.config.fields import from_dict
from kerascale.config.recipes import Recipe, load_recipe
from kerascale.datasets import Batches
from kerascale.diagnostics.verify import batch_sizes
from kerascale.diagnostics.verify.jobs import Job
from kerascale.engine.model import Engine
from kerascale.engine.scaling import scale_as_told
from kerascale.errors import RefusedError
from kerascale.training import build

# Under another name than __main__, so that the script trains nothing by itself.
_SCRIPT = "__kerascale_script__"


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is trained.

    Args:
        model: Compiled.
        data: One epoch, for `fit`.
        batch_sizes: Examples of each step.
        first_batch: (x, y) or (x, y, sample_weight), NumPy arrays.
    """

    model: keras.Model
    data: Any
    batch_sizes: Sequence[int]
    first_batch: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Uneven(Batches):
    """The first steps of some batches, with a size for each.

    Args:
        sizes: Examples of each step.
    """

    sizes: tuple[int, ...] = ()

    @property
    def steps_per_epoch(self) -> int:
        return len(self.sizes)

    def indices(self, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        # Of whole batches alone. A small data set begins anew.
        whole = max(1, self.num_examples // self.batch_size)
        size = tf.gather(tf.constant(self.sizes, tf.int64), step)
        return super().indices(epoch, step % whole)[:size]


def from_recipe(job: Job, strategy: tf.distribute.Strategy) -> Subject:
    """A recipe's model and the first batches of its training data."""
    recipe = load_recipe(job.recipe)
    config = from_dict(recipe.Config, job.fields)
    # As `kerascale.train` does it.
    tf.config.experimental.enable_op_determinism()
    seed = getattr(config, "seed", 0) % 2**32
    keras.utils.set_random_seed(seed)
    datasets = build.make_datasets(recipe, config)
    keras.utils.set_random_seed(seed)
    with strategy.scope():
        if job.engine:
            model = build.make_model(recipe, config, datasets)
        else:
            model = _plain_model(recipe, config, datasets)
    keras.utils.set_random_seed(seed)
    source = datasets.train
    if not source.is_indexed:  # The recipe's own tf.data.
        batches = list(source.dataset().repeat().take(job.steps).as_numpy_iterator())
        return _of_batches(job, model, batches)
    known = {f.name: getattr(source, f.name) for f in dataclasses.fields(Batches)}
    size = min(source.batch_size, source.num_examples)
    sizes = batch_sizes.plan(job.steps, size, job.replica_counts)
    uneven = Uneven(**known, sizes=tuple(sizes))
    first = next(uneven.dataset().take(1).as_numpy_iterator())
    data = uneven if job.engine else uneven.dataset()
    return Subject(model, data, sizes, first)


def from_function(job: Job, strategy: tf.distribute.Strategy) -> Subject:
    """The model of a user's function, and the batches of a file."""
    make_model = _find(job)
    batches = pickle.loads(pathlib.Path(job.batches).read_bytes())
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = make_model()
    _refuse_other_model(model, job.engine, f"{make_model.__name__}()")
    if job.engine:
        with strategy.scope():
            model = scale_as_told(model)
    keras.utils.set_random_seed(0)
    return _of_batches(job, model, batches)


def _of_batches(job: Job, model: keras.Model, batches: list[Any]) -> Subject:
    rows = [len(tf.nest.flatten(batch)[0]) for batch in batches]
    planned = batch_sizes.plan(job.steps, rows[0], job.replica_counts)
    sizes = [min(pair) for pair in zip(planned, rows, strict=True)]
    cut = [
        tf.nest.map_structure(lambda array, n=size: array[:n], batch)
        for batch, size in zip(batches, sizes, strict=True)
    ]
    return Subject(model, _dataset(cut), sizes, cut[0])


def _dataset(batches: list[Any]) -> tf.data.Dataset:
    def spec(*arrays: Any) -> tf.TensorSpec:
        first = arrays[0]
        shapes = [array.shape[1:] for array in arrays]
        # Texts, say, that are padded to the longest of their batch.
        rest = [
            sizes[0] if len(set(sizes)) == 1 else None
            for sizes in zip(*shapes, strict=True)
        ]
        return tf.TensorSpec((None, *rest), first.dtype)

    signature = tf.nest.map_structure(spec, *batches)
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=signature
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))


def _plain_model(recipe: Recipe, config: Any, datasets: Any) -> keras.Model:
    parameters = inspect.signature(recipe.make_model).parameters
    model = recipe.make_model(*(config, datasets)[: max(1, len(parameters))])
    _refuse_other_model(model, False, f"make_model of {recipe.name}")
    return model


def _refuse_other_model(model: Any, engine: bool, what: str) -> None:
    if not isinstance(model, keras.Model) or not model.compiled:
        received = type(model).__name__
        if isinstance(model, keras.Model):
            received += " that is not compiled. Call model.compile(...)"
        raise RefusedError(
            f"{what}: expected it to return a compiled keras.Model. "
            f"Received: {received}."
        )
    if not engine and isinstance(model, Engine):
        raise RefusedError(
            f"{what}: expected a plain keras.Model, to be trained without the engine "
            f"(--plain, engine=False). Received: {type(model).__name__}, which has "
            "it. Leave --plain or engine=False out."
        )


def _find(job: Job) -> Callable[[], keras.Model]:
    module, name = job.function
    if job.script is not None:
        found = runpy.run_path(job.script, run_name=_SCRIPT)[name]
    else:
        found = getattr(importlib.import_module(module), name)
    return found
