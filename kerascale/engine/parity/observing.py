"""What a step does with a batch or a slice of it, without doing it."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.engine.collectives import lockstep, replicas
from kerascale.engine.compat import keras_private, tensorflow_private
from kerascale.engine.data import shard
from kerascale.engine.parity import samples
from kerascale.engine.step import metrics, observed, optimizer_view, randomness
from kerascale.engine.step.optimizer_view import as_optimizer
from kerascale.engine.step.step import TrainStep, as_shaped

# What stands for an update: small, so that nothing blows up.
_RATE = 1e-3
# Of losses in float16: neither small gradients nor large ones are lost.
_LOSS_SCALE = 2.0**7
# Values that are compared of one variable, spread over it.
_MOST_VALUES = 2**16


@dataclasses.dataclass
class Observation:
    """What a step gave.

    Args:
        gradients: Of each `optimizer.apply`, name of a variable -> values.
        metrics: What the variables of metrics would be.
        written: Path of another variable -> what it would be.
        logs: A step's own.
        losses: Name -> value of each compiled loss.
        by_row: Name -> whether that loss has a value for each row.
        outputs: Of the model in that step, or of `predict_step`.
        draws: Names of what drew random numbers that know no place in the batch.
    """

    gradients: list[dict[str, np.ndarray]] = dataclasses.field(default_factory=list)
    metrics: list[np.ndarray] = dataclasses.field(default_factory=list)
    written: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    logs: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    losses: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    by_row: dict[str, bool] = dataclasses.field(default_factory=dict)
    outputs: list[np.ndarray] = dataclasses.field(default_factory=list)
    draws: list[str] = dataclasses.field(default_factory=list)


class Observer:
    """Runs the steps of a model eagerly; no variable is changed.

    Args:
        model: Compiled, built and prepared for replicas.
        step: Its train step; None: there is none.
        kind: Which of its steps: `train`, `test` or `predict`.
    """

    def __init__(self, model: keras.Model, step: TrainStep | None, kind: str) -> None:
        keras_private.keep_added_losses_apart(model)
        self._model = model
        self._step = step
        self._kind = kind
        self._metrics = metrics.variables_of(model)
        shares = keras_private.loss_metrics(model)
        # A share of the loss has a weight of its own where shapes are known.
        self._compared_metrics = [m for m in model.metrics if m not in shares]
        # A model that only predicts may have none.
        optimizers = [] if step is None else keras_private.optimizers_of(model)
        self._scales = [
            (optimizer.dynamic_scale, tf.constant(_LOSS_SCALE))
            for optimizer in [getattr(step, "optimizer", None), *optimizers]
            if isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
            and optimizer.built
        ]
        self._unseeded = randomness.unseeded_generator()
        self._others = _other_variables(model, self._metrics)
        # Whether `optimizer.apply` updates where it is called, or after the step.
        self.at_once = True
        # Optimizers that a step has used, with the variables it gave them.
        self.optimizers: list[tuple[Any, list[keras.Variable]]] = []

    def whole(self, sample: samples.Sample, *, at_once: bool = True) -> Observation:
        """What a step gives for a batch on one device.

        Args:
            sample: The batch.
            at_once: Whether `optimizer.apply` updates where it is called, or after the
                step.
        """
        run = lambda: self._observe(sample.batch, None, at_once)  # noqa: E731
        with self._prepared():
            return lockstep.Group(1).run([run])[0]

    def parts(
        self, sample: samples.Sample, count: int = 2, whole: int | None = None
    ) -> list[Observation]:
        """What it gives for slices of the batch, on so many replicas.

        Args:
            sample: The batch.
            count: Slices.
            whole: Number of a member that every replica has as it is; or None.
        """
        size = tf.constant(sample.rows, tf.int64)
        functions = []
        # As Keras finds it in a step: it divides losses by the number of replicas.
        strategy = tensorflow_private.standing_for(
            self._model.distribute_strategy.num_replicas_in_sync
        )
        for number in range(count):
            offset, rows = shard.bounds(size, number, count)
            here = shard.Shard(size, offset, rows, count)
            batch = samples.cut(
                sample.batch, int(offset), int(rows), lambda n: n == whole
            )
            functions.append(
                lambda b=batch, h=here: strategy.run(
                    self._observe, (b, h, self.at_once)
                )
            )
        with self._prepared():
            return lockstep.Group(count).run(functions)

    def results(self, states: list[np.ndarray]) -> dict[str, np.ndarray]:
        """Name -> result of every metric, of what its variables would be."""
        mapping = [
            (variable, tf.cast(value, variable.dtype))
            for variable, value in zip(self._metrics, states, strict=True)
        ]
        found: dict[str, np.ndarray] = {}
        with keras.StatelessScope(state_mapping=mapping):
            for metric in self._compared_metrics:
                if not getattr(metric, "built", True):
                    continue  # Of a model that predicts before it has trained.
                result = metric.result()
                result = result if isinstance(result, dict) else {metric.name: result}
                found |= {name: _array(value) for name, value in result.items()}
        return found

    @contextlib.contextmanager
    def _prepared(self) -> Iterator[None]:
        view = None if self._step is None else self._step.view
        with contextlib.ExitStack() as stack:
            stack.enter_context(_without_draws(self._model))
            stack.enter_context(_restored(self._model))
            if view is not None and self._kind == "train":
                stack.enter_context(as_optimizer(self._model, view))
            yield

    def _observe(
        self, batch: Any, here: shard.Shard | None, at_once: bool
    ) -> Observation:
        found = Observation()
        replicas_here = 1 if here is None else here.replicas
        recorder = optimizer_view.Recorder()
        if here is not None:
            recorder.share = here.share

        def update(view: Any, gradients: list[Any], variables: list[Any]) -> None:
            self._update(found, recorder, here, at_once, (view, gradients, variables))

        recorder.update = update
        with (
            keras_private.Aside(self._scales) as scope,
            keras_private.unseeded_draws_from(self._unseeded),
            observed.collecting() as box,
            shard.at(here),
            optimizer_view.recording(recorder),
        ):
            for metric in self._model.metrics:
                metric.reset_state()
            for variable in self._metrics:
                if replicas_here > 1 and variable.dtype.startswith("float"):
                    # As a replica begins, so that the sum is what it is reset to.
                    variable.assign(variable / replicas_here)
            logs = self._run(batch)
        found.metrics = [_array(scope.get_current_value(v)) for v in self._metrics]
        for variable in self._others:
            value = scope.written(variable)
            if value is not None:
                found.written[variable.path] = _sampled(value)
        found.logs = logs
        found.losses = {name: _array(value) for name, value, _, _ in box}
        found.by_row = {name: by_row for name, _, by_row, _ in box}
        found.draws = [
            layer
            for layer, generator in (
                *randomness.placeless(self._model),
                (randomness.UNSEEDED, self._unseeded),
            )
            if scope.written(generator.state) is not None
        ]
        if self._kind == "predict":
            found.outputs, found.logs = logs["outputs"], {}
        else:
            found.outputs = [_array(t) for *_, ts in box for t in ts]
        return found

    def _run(self, batch: Any) -> dict[str, Any]:
        model = self._model
        if self._kind == "predict":
            outputs = model.predict_step(batch)
            return {"outputs": [_array(t) for t in keras.tree.flatten(outputs)]}
        logs = model.train_step(batch) if self._kind == "train" else None
        if logs is None:
            logs = model.test_step(batch)
        flat: dict[str, Any] = {}
        for name, value in logs.items() if isinstance(logs, dict) else ():
            flat |= value if isinstance(value, dict) else {name: value}
        known = {m.name for m in model.metrics} | set(model.get_metrics_result())
        return {n: _array(v) for n, v in flat.items() if n not in known}

    def _update(
        self,
        found: Observation,
        recorder: optimizer_view.Recorder,
        here: shard.Shard | None,
        at_once: bool,
        applied: tuple[Any, list[Any], list[Any]],
    ) -> None:
        """Notes what is applied, and lets a plain step stand for the update."""
        view, gradients, variables = applied
        pairs = [
            (as_shaped(g, v), v)
            for g, v in zip(gradients, variables, strict=True)
            if g is not None
        ]
        gradients = [g for g, _ in pairs]
        if here is not None:
            if not recorder.weighted:
                gradients = [here.weighted(g) for g in gradients]
            recorder.weighted = False
            gradients = lockstep.total(gradients)
        found.gradients.append(
            {v.path: _sampled(g) for g, (_, v) in zip(gradients, pairs, strict=True)}
        )
        with _noting:
            if all(view is not known for known, _ in self.optimizers):
                self.optimizers.append((view, [v for _, v in pairs]))
        if not at_once:
            return
        is_scaled = isinstance(view, keras.optimizers.LossScaleOptimizer)
        rate = _RATE / _LOSS_SCALE if is_scaled else _RATE
        for gradient, (_, variable) in zip(gradients, pairs, strict=True):
            step = tf.cast(tf.convert_to_tensor(gradient), variable.dtype) * rate
            variable.assign(variable - step)


_noting = threading.Lock()


def _other_variables(
    model: keras.Model, known: list[keras.Variable]
) -> list[keras.Variable]:
    """All variables but those of metrics and of seeds."""
    seeds = [generator.state for generator in randomness.generators(model)]
    left_out = {id(v) for v in [*known, *seeds]}
    return [v for v in model.variables if id(v) not in left_out]


@contextlib.contextmanager
def _without_draws(model: keras.Model) -> Iterator[None]:
    """Sets what layers of Keras' own draw to nothing: slices would draw another."""
    before = []
    for layer in randomness.drawing(model):
        for name in randomness.RATES:
            if isinstance(getattr(layer, name, None), int | float):
                before.append((layer, name, getattr(layer, name)))
                vars(layer)[name] = 0.0
    try:
        yield
    finally:
        for layer, name, value in before:
            vars(layer)[name] = value


@contextlib.contextmanager
def _restored(model: keras.Model) -> Iterator[None]:
    """Gives TensorFlow's own variables, which no scope of Keras holds, their values."""
    kept = [
        (found, found.numpy())
        for layer in [model, *keras_private.all_layers(model)]
        for found in vars(layer).values()
        if isinstance(found, tf.Variable) and not replicas.is_spread(found)
    ]
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)


def _array(value: Any) -> np.ndarray:
    array = np.asarray(keras.ops.convert_to_numpy(value))
    return array.astype(np.float64) if array.dtype.kind in "fiubV" else array


def _sampled(value: Any) -> np.ndarray:
    """Values of a tensor, spread over it; of a sparse one, sums of its rows."""
    if isinstance(value, tf.IndexedSlices):
        indices, places = np.unique(value.indices.numpy(), return_inverse=True)
        rows = np.zeros((len(indices), *value.values.shape[1:]))
        np.add.at(rows, places, _array(value.values))
        return np.concatenate([indices.astype(np.float64), rows.reshape(-1)])
    flat = tf.reshape(value, [-1])
    stride = -(-int(tf.size(flat)) // _MOST_VALUES) or 1
    return _array(flat[::stride])
