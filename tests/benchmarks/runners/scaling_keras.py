"""kerascale on several workers: a strategy's scope around what `keras_fit` has.

Each worker is told by TF_CONFIG; without it, it is alone.
"""

import os

import keras
import numpy as np

import kerascale as ks

from .. import protocol
from ..workload import Workload
from . import asked, steps_of
from .keras_fit import loss, optimizer, versions


class Workers:
    """`fit` with a global batch of as many local ones as there are workers."""

    def __init__(self, contender: str, workload: Workload) -> None:
        self._contender = contender
        self._workload = workload
        self._workers = int(os.environ["WORLD_SIZE"])
        self._batch_size = workload.batch_size * self._workers

    def load(self):
        # First of all: collectives are decided when TensorFlow starts.
        name = "multi_worker_mirrored" if self._workers > 1 else "one_device"
        strategy = ks.strategies.get(name)
        keras.utils.set_random_seed(0)
        workload, weights = self._workload, self._workload.weights()
        x, y = workload.data()
        num = steps_of(workload) * workload.batch_size
        # As many steps, whoever takes part.
        self._x = np.concatenate([x[:num]] * self._workers)
        self._y = np.concatenate([y[:num]] * self._workers)
        with strategy.scope():
            if workload.kerascale_model is None:
                model = workload.keras_model(keras)
            else:
                model = workload.kerascale_model(ks, keras)
                weights = workload.kerascale_weights(weights)
            is_auto = self._contender == "kerascale"
            model = ks.scale(model, execution="auto" if is_auto else "fixed")
            model.set_weights(list(weights.values()))
            model.compile(
                optimizer(workload),
                loss(workload),
                jit_compile=self._contender.endswith("-xla"),
            )
        self._model = model
        return {"parameters": model.count_params(), "versions": versions()}

    def first(self, steps):
        num = steps * self._batch_size
        self._fit(self._x[:num], self._y[:num], shuffle=False)

    def loss(self, num):
        return self._model.evaluate(
            self._x[:num], self._y[:num], batch_size=num, verbose=0
        )

    def run(self, epochs):
        self._fit(self._x, self._y, epochs=epochs)
        return {}

    def _fit(self, x, y, **options):
        self._model.fit(x, y, batch_size=self._batch_size, verbose=0, **options)


if __name__ == "__main__":
    contender, workload = asked()
    protocol.serve(Workers(contender, workload), steps_of(workload))
