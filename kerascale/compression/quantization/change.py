"""Quantization as a change of a training: what `--quantize-aware` does."""

import pathlib
from typing import Any

import keras

from kerascale.compression.quantization import learning, ranges
from kerascale.compression.quantization.callback import QuantizeAware
from kerascale.compression.quantization.ranges import Ranges
from kerascale.datasets import Datasets
from kerascale.errors import RefusedError
from kerascale.runtime.console import say
from kerascale.training.changes import Change
from kerascale.training.context import RunContext
from kerascale.training.evaluation import evaluate


class QuantizedTraining(Change):
    """A training for a model that is computed in integers. See `Change`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._ranges: Ranges | None = None

    def change_model(self, model: keras.Model, context: RunContext) -> keras.Model:
        begin = self._begin(context)
        found = learning.install(model, begin)
        if begin == 0 and self.init_from is None and found.places.blocks:
            raise RefusedError(
                "quantize_begin: expected more than 0, or --init-from: statistics of "
                "batch normalization stay as they are from then on, and those of a new "
                f"model say nothing. Received: {self.config.quantize_begin}."
            )
        say(
            f"quantize_aware: {self.config.quantize_aware}, "
            f"{len(found.places.weighted)} layers of activations and "
            f"{len(found.places.weights)} of weights, from update {begin + 1} of "
            f"{_updates(context)}"
        )
        return model

    def callbacks(self, context: RunContext) -> list[keras.callbacks.Callback]:
        return [QuantizeAware(self._begin(context), keep=True)]

    def first_epoch_to_keep(self, context: RunContext) -> int:
        """The first that ends quantized."""
        micro_batches = getattr(self.config, "gradient_accumulation_steps", 1)
        batches = (self._begin(context) + 1) * micro_batches
        first = -(-batches // context.steps_per_epoch) - 1
        return max(0, min(first, context.epochs - 1))

    def finish_model(self, model: keras.Model) -> keras.Model:
        names = learning.of(model).places.names
        self._ranges = Ranges.of(names, learning.strip(model))
        return model

    def results(self, model: keras.Model, datasets: Datasets) -> dict[str, Any]:
        """How it answers in integers: `accuracy` is that of the float activations."""
        split = datasets.test or datasets.validation
        if split is None:
            return {}
        source = split.for_evaluation()
        with self._ranges.applied(model):
            found = evaluate(model, source, datasets.info)
        return {
            f"quantized_{name}": found[name]
            for name in ("accuracy", "loss")
            if name in found
        }

    def write_files(self, folder: pathlib.Path) -> None:
        ranges.write(folder, self._ranges)

    def _begin(self, context: RunContext) -> int:
        updates = _updates(context)
        last = max(0, updates - 1)
        return min(last, int(self.config.quantize_begin * updates))


def _updates(context: RunContext) -> int:
    """Of the weights, in the whole training."""
    micro_batches = getattr(context.config, "gradient_accumulation_steps", 1)
    return context.total_batches // micro_batches
