"""What changes a training from outside: a teacher, pruning, privacy, attacks.

Such a change stands above this room and uses it, so it is loaded by its name, as
recipes are, and only if the configuration asks for it.
"""

import importlib
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale.datasets import Datasets
from kerascale.errors import RefusedError
from kerascale.training.context import RunContext


class Change:
    """Abstract: one change of a training. A subclass overrides what it changes.

    The methods are called in their order. All workers call them.

    Args:
        config: The recipe's configuration.
    """

    # The file of weights that the model starts from; None: it starts anew.
    init_from: pathlib.Path | None = None
    # Whether some of them may be missing there.
    init_partial = False
    # Where the training runs; None: on one device.
    strategy: tf.distribute.Strategy | None = None

    def __init__(self, config: Any) -> None:
        self.config = config

    def check(self) -> list[str]:
        """What is wrong, as far as it is known before data is read."""
        return []

    def depends_on(self) -> dict[str, str]:
        """Name -> sha256 of what the result depends on beside configuration and data.

        The run records it, and goes on only with the same.
        """
        return {}

    def change_datasets(self, datasets: Datasets) -> Datasets:
        """The data to train on. A dry run trains on its own."""
        return datasets

    def change_model(self, model: keras.Model, context: RunContext) -> keras.Model:
        """The compiled model to train, made in the strategy's scope."""
        del context
        return model

    def open(self, model: keras.Model, context: RunContext) -> None:
        """Called once the run folder is open, before a step is tried or run."""
        del model, context

    def callbacks_in_front(self, context: RunContext) -> list[keras.callbacks.Callback]:
        """Callbacks that come before those which record: their logs are kept."""
        del context
        return []

    def callbacks(self, context: RunContext) -> list[keras.callbacks.Callback]:
        """Callbacks of the training."""
        del context
        return []

    def first_epoch_to_keep(self, context: RunContext) -> int:
        """The epoch, from 0, whose weights may be the best ones; see `SaveWeights`."""
        del context
        return 0

    def finish_model(self, model: keras.Model) -> keras.Model:
        """The model that is evaluated and saved, made of the trained one."""
        return model

    def results(self, model: keras.Model, datasets: Datasets) -> dict[str, Any]:
        """Numbers for the final evaluation."""
        del model, datasets
        return {}

    def write_files(self, folder: pathlib.Path) -> None:
        """Writes files of its own into the run folder. The chief alone calls it."""
        del folder


# Field of a configuration -> the class that a value of it asks for.
_CLASSES = {
    "teacher": ("kerascale.compression.distillation.change", "Distillation"),
    "prune": ("kerascale.compression.pruning.change", "PrunedTraining"),
    "quantize_aware": (
        "kerascale.compression.quantization.change",
        "QuantizedTraining",
    ),
    "dp_clip": ("kerascale.trust.privacy.change", "PrivateTraining"),
    "lora_rank": ("kerascale.compression.adapters.change", "AdaptedTraining"),
    # Last: it attacks the model as the others have made it.
    "adversarial": ("kerascale.trust.adversarial.change", "AdversarialTraining"),
}

# The fields that ask for a change.
FIELDS = tuple(_CLASSES)


def asked_for(
    config: Any,
    init_from: pathlib.Path | None = None,
    init_partial: bool = False,
    strategy: tf.distribute.Strategy | None = None,
) -> list[Change]:
    """The changes that a configuration asks for, checked.

    Args:
        config: The recipe's configuration.
        init_from: The file of weights that the model starts from; or None.
        init_partial: Whether some of them may be missing there.
        strategy: Where the training runs.

    Raises:
        RefusedError: Naming all that is wrong with any of them.
    """
    changes: list[Change] = []
    for field, (module, name) in _CLASSES.items():
        if getattr(config, field, None):
            change = getattr(importlib.import_module(module), name)(config)
            change.init_from, change.init_partial = init_from, init_partial
            change.strategy = strategy
            changes.append(change)
    problems = [problem for change in changes for problem in change.check()]
    if problems:
        raise RefusedError(problems, heading="train")
    return changes


def depends_on(changes: Sequence[Change]) -> dict[str, str]:
    """What the result depends on beside configuration and data, for all of them."""
    return {
        name: sha for change in changes for name, sha in change.depends_on().items()
    }
