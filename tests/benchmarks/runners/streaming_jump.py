"""kerascale: seconds to the first batch from a step on, of a large packed data set."""

import random
import sys
import time

import kerascale as ks

from .. import protocol
from ..streaming.reader import BATCH

# How long the order of a batch takes differs with its place: one place is luck.
_PLACES = 100


class Jump:
    """Asks for batches at steps.

    Args:
        folder: The packed data set.
        steps: To begin at, or some steps later.
    """

    def __init__(self, folder, steps):
        self._folder, self._steps = folder, steps
        self._random = random.Random(0)

    def load(self):
        began = time.perf_counter()
        recipe = ks.load_recipe("mlp")
        config = recipe.Config(dataset=f"packed:{self._folder}", batch_size=BATCH)
        self._train = recipe.make_datasets(config).train
        seconds = time.perf_counter() - began
        if max(self._steps) + _PLACES >= self._train.steps_per_epoch:
            raise ValueError(f"steps: too few. Received: {self._train.steps_per_epoch}")
        self.run(1)
        return {"open_seconds": seconds, "rows": self._train.num_examples}

    def run(self, epochs):
        found = {step: [] for step in self._steps}
        for _ in range(epochs):
            place = self._random.randrange(_PLACES)
            for step in self._random.sample(self._steps, len(self._steps)):
                began = time.perf_counter()
                next(iter(self._train.dataset(start_step=step + place)))
                found[step].append(time.perf_counter() - began)
        return {"parts": {str(step): values for step, values in found.items()}}


if __name__ == "__main__":
    _, folder, *steps = sys.argv
    protocol.serve(Jump(folder, [int(step) for step in steps]), 1)
