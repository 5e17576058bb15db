"""M: the perceptron on half the batch, of which a step is so much more."""

import dataclasses

from . import mlp

_WHOLE = mlp.WORKLOAD

WORKLOAD = dataclasses.replace(
    _WHOLE,
    letter="M",
    title="MLP 784-512-10, Adam, batch 64",
    batch_size=_WHOLE.batch_size // 2,
    items_per_step=_WHOLE.items_per_step // 2,
    steps_per_epoch=_WHOLE.steps_per_epoch * 2,
    flops_per_step=_WHOLE.flops_per_step / 2,
)
