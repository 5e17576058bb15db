"""Keras and kerascale, as their users call them: compile, then `fit` on arrays."""

import contextlib
import importlib.metadata
import sys

if sys.argv[1:] and sys.argv[1].startswith("kerascale"):  # First, as its README says.
    import kerascale  # noqa: F401

import keras
import numpy as np

from .. import protocol
from ..workload import BETA_1, EPSILON, Workload
from . import asked

# What a user passes to `compile` beside optimizer and loss.
_COMPILE = {
    "kerascale": {},
    "keras": {},
    "keras-16": {"steps_per_execution": 16},
    "keras-16-xla": {"steps_per_execution": 16, "jit_compile": True},
    "keras-jax": {},
    "keras-jax-16": {"steps_per_execution": 16},
    "kerascale-mirrored": {},
    "kerascale-mirrored-compiled": {},
    "kerascale-mirrored-fixed": {},
    "keras-mirrored": {},
}


class KerasFit:
    """A model that `fit` trains."""

    def __init__(self, contender: str, workload: Workload) -> None:
        self._contender = contender
        self._workload = workload

    def load(self):
        keras.utils.set_random_seed(0)
        self._x, self._y = self._workload.data()
        with _scope(self._contender):
            model = self._make_model()
            model.compile(
                optimizer(self._workload),
                loss(self._workload),
                **_COMPILE[self._contender],
            )
        self._model = model
        return {"parameters": model.count_params(), "versions": versions()}

    def _make_model(self):
        workload, weights = self._workload, self._workload.weights()
        if not self._contender.startswith("kerascale"):
            model = workload.keras_model(keras)
        else:
            import kerascale as ks

            if workload.kerascale_model is None:
                model = workload.keras_model(keras)
            else:
                model = workload.kerascale_model(ks, keras)
                weights = workload.kerascale_weights(weights)
            forced = self._contender.rpartition("-")[2]
            is_forced = forced in ("compiled", "fixed")
            model = ks.scale(model, execution=forced if is_forced else "auto")
        model.set_weights(list(weights.values()))
        return model

    def first(self, steps):
        num = steps * self._workload.batch_size
        self._fit(self._x[:num], self._y[:num], shuffle=False)

    def loss(self, num):
        batch_size = self._workload.batch_size
        x, y = self._x[:num], self._y[:num]
        return self._model.evaluate(x, y, batch_size=batch_size, verbose=0)

    def run(self, epochs):
        self._fit(self._x, self._y, epochs=epochs)
        return {}

    def multiply(self):
        side = protocol.PEAK_SIDE
        a, b = keras.ops.ones((side, side)), keras.ops.ones((side, side))
        return lambda: np.asarray(keras.ops.matmul(a, b)[0, 0])

    def _fit(self, x, y, **options):
        self._model.fit(
            x, y, batch_size=self._workload.batch_size, verbose=0, **options
        )


def _scope(contender: str):
    """That of two logical devices, if the contender has them."""
    if "-mirrored" not in contender:
        return contextlib.nullcontext()
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    parts = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, parts)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()


def optimizer(workload: Workload):
    """Adam or AdamW."""
    options = {
        "learning_rate": workload.learning_rate,
        "beta_1": BETA_1,
        "beta_2": workload.beta_2,
        "epsilon": EPSILON,
    }
    if workload.weight_decay is None:
        return keras.optimizers.Adam(**options)
    return keras.optimizers.AdamW(weight_decay=workload.weight_decay, **options)


def loss(workload: Workload):
    """The loss, from logits."""
    if workload.loss == "binary":
        return keras.losses.BinaryCrossentropy(from_logits=True)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def versions() -> dict[str, str]:
    """Those of the packages that count."""
    found = {}
    for name in ("kerascale", "keras", "tensorflow", "jax", "numpy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    contender, workload = asked()
    protocol.serve(KerasFit(contender, workload), workload.steps_per_epoch)
