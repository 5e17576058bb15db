"""Pruning as a change of a training: what `--prune` does."""

from typing import Any

import keras
import numpy as np

from kerascale.compression.pruning import choice, masks, targets
from kerascale.compression.pruning.callback import Pruning
from kerascale.compression.pruning.cut import cut
from kerascale.compression.pruning.plan import Plan, cubic
from kerascale.datasets import Datasets
from kerascale.runtime.console import say
from kerascale.training.changes import Change
from kerascale.training.context import RunContext


class PrunedTraining(Change):
    """A training with fewer weights at its end. See `Change`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._parameters_before = 0

    def change_model(self, model: keras.Model, context: RunContext) -> keras.Model:
        config, plan = self.config, self._plan(context)
        self._parameters_before = model.count_params()
        masks.install(model, plan, config.prune_structure)
        say(
            f"pruning: {config.prune:.0%} {config.prune_structure}, from update "
            f"{plan.begin + 1} to {plan.end + 1} of {_updates(context)}, masks chosen "
            f"every {plan.frequency}"
        )
        return model

    def callbacks(self, context: RunContext) -> list[keras.callbacks.Callback]:
        plan, config = self._plan(context), self.config
        return [
            Pruning(
                config.prune,
                begin=plan.begin,
                end=plan.end,
                structure=config.prune_structure,
                keep_masks=True,
            )
        ]

    def first_epoch_to_keep(self, context: RunContext) -> int:
        """The first that ends when all that is to go has gone."""
        micro_batches = getattr(self.config, "gradient_accumulation_steps", 1)
        batches = (self._plan(context).end + 1) * micro_batches
        first = -(-batches // context.steps_per_epoch) - 1
        return max(0, min(first, context.epochs - 1))

    def finish_model(self, model: keras.Model) -> keras.Model:
        masks.strip(model)
        if self.config.prune_structure not in choice.WHOLE:
            return model
        smaller = cut(model)
        before, now = model.count_params(), smaller.count_params()
        say(f"pruning: cut from {before:,} to {now:,} parameters")
        return smaller

    def results(self, model: keras.Model, datasets: Datasets) -> dict[str, Any]:
        """How much is gone."""
        if self.config.prune_structure in choice.WHOLE:
            return {
                "parameters": model.count_params(),
                "parameters_before": self._parameters_before,
            }
        kernels = [
            np.asarray(keras.ops.convert_to_numpy(target.kernel))
            for target in targets.kernels(model)
        ]
        zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
        return {"sparsity": zeros / sum(kernel.size for kernel in kernels)}

    def _plan(self, context: RunContext) -> Plan:
        updates = _updates(context)
        last = max(0, updates - 1)
        begin = min(last, int(self.config.prune_begin * updates))
        end = min(last, int(self.config.prune_end * updates))
        return cubic(self.config.prune, begin, end)


def _updates(context: RunContext) -> int:
    """Of the weights, in the whole training."""
    micro_batches = getattr(context.config, "gradient_accumulation_steps", 1)
    return context.total_batches // micro_batches
