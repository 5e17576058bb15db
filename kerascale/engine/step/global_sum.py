"""Sums over all replicas that gradients pass through."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from kerascale.engine.collectives import all_reduce
from kerascale.engine.data import shard


def global_sum(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The sum of each tensor over all replicas, inside of a step.

    The loss of the batch is the mean of the losses of all slices, weighted by their
    shares. What a slice gives is a part of every replica's loss: its gradient is the
    sum over all of them, each with its share.

    Args:
        tensors: The same on every replica but for their values.
    """
    here = shard.current()
    if here is None:
        return list(tensors)

    @tf.custom_gradient
    def added(*values: tf.Tensor) -> Any:
        def gradient(*upstream: tf.Tensor) -> list[tf.Tensor]:
            # A step may weight its loss by the share first, or its gradients after.
            if shard.is_weighted():
                return all_reduce.all_reduce(upstream)
            shares = [here.share(each.dtype) for each in upstream]
            total = all_reduce.all_reduce(
                [each * own for each, own in zip(upstream, shares, strict=True)]
            )
            return [
                tf.math.divide_no_nan(each, own)
                for each, own in zip(total, shares, strict=True)
            ]

        return all_reduce.all_reduce(values), gradient

    return list(added(*tensors))
