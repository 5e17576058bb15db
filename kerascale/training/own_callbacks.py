"""The callbacks that a training has of kerascale's own."""

import keras

from kerascale.callbacks import Unwritten, standard_callbacks, worker_callbacks
from kerascale.config.fields import to_dict
from kerascale.training.context import RunContext


def make(
    context: RunContext, unwritten: Unwritten, histograms: bool, first_epoch: int = 0
) -> list[keras.callbacks.Callback]:
    """The standard callbacks of the chief, or those of another worker.

    Args:
        context: Of the training.
        unwritten: What happens where a file cannot be written.
        histograms: Whether TensorBoard gets the distribution of each variable.
        first_epoch: From 0: the first whose weights may be the best ones.
    """
    config, datasets = context.config, context.datasets
    patience = getattr(config, "early_stopping_patience", None)
    has_validation = datasets.validation is not None
    if context.folder is None:
        return worker_callbacks(has_validation, patience, to_dict(config), first_epoch)
    return standard_callbacks(
        context.folder.path,
        examples_per_epoch=datasets.train.num_examples,
        steps_per_epoch=datasets.steps_per_epoch,
        total_steps=context.total_batches,
        has_validation=has_validation,
        early_stopping_patience=patience,
        unwritten=unwritten,
        fields=to_dict(config),
        inputs=datasets.train.for_evaluation().dataset().element_spec[0],
        histograms=histograms,
        count_examples=lambda: datasets.train.num_examples,
        first_epoch=first_epoch,
    )
