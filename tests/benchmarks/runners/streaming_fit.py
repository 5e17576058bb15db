"""kerascale on a workload, from packed data and from data in memory, in turns."""

import random
import sys
import time

import kerascale as ks  # isort: skip
import keras

from kerascale.engine.data import waits
from kerascale.engine.execution import mode_of_model

from .. import protocol
from ..workload import load_all
from .keras_fit import loss, optimizer, versions

_RECIPES = {"A": "mlp", "B": "cnn", "D": "language_model"}
# Of an epoch, where one is far longer than a round.
STEPS = 200


class Fit:
    """A model for each data set; two processes would differ by more than the data do.

    Args:
        letter: The workload.
        datasets: Name -> what `--dataset` takes.
    """

    def __init__(self, letter: str, datasets: dict[str, str]) -> None:
        self._letter, self._names = letter, datasets
        self._workload = load_all()[letter]
        self._random = random.Random(0)
        self._epoch = 0

    def load(self):
        self._models, self._data = {}, {}
        for name, dataset in self._names.items():
            recipe = ks.load_recipe(_RECIPES[self._letter])
            config = recipe.Config(
                dataset=dataset, batch_size=self._workload.batch_size
            )
            self._data[name] = recipe.make_datasets(config).train
            self._models[name] = self._model()
        return {"parameters": self._models[name].count_params(), "versions": versions()}

    def first(self, steps):
        """Two epochs of each: forms of execution are chosen, programs compiled."""
        del steps
        for _ in range(2):
            self.run(1)

    def run(self, epochs):
        names = sorted(self._models)
        self._random.shuffle(names)
        found = {name: self._one(name, epochs) for name in names}
        # Each epoch has an order of its own: not the pages of the last one again.
        self._epoch += epochs
        modes = {n: str(mode_of_model.read(m)) for n, m in self._models.items()}
        return {"parts": found, "modes": modes}

    def _model(self):
        keras.utils.set_random_seed(0)
        workload = self._workload
        weights = workload.weights()
        if workload.kerascale_model is None:
            model = workload.keras_model(keras)
        else:
            model = workload.kerascale_model(ks, keras)
            weights = workload.kerascale_weights(weights)
        model = ks.scale(model)
        model.set_weights(list(weights.values()))
        model.compile(optimizer(workload), loss(workload))
        return model

    def _one(self, name, epochs):
        data = self._data[name]
        steps = data.steps_per_epoch
        options = {}
        if self._letter == "D":
            steps = options["steps_per_epoch"] = STEPS
        waited, began = waits.seconds(), time.perf_counter()
        self._models[name].fit(
            data,
            initial_epoch=self._epoch,
            epochs=self._epoch + epochs,
            verbose=0,
            **options,
        )
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds,
            "waited_seconds": waits.seconds() - waited,
            "steps": epochs * steps,
        }


if __name__ == "__main__":
    _, letter, memory, packed = sys.argv
    protocol.serve(Fit(letter, {"memory": memory, "packed": packed}), 1)
