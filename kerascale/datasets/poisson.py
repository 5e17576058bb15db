"""Batches into which each example comes by chance, as accountants of privacy assume.

A step takes each example with the same probability, whatever the others: Poisson
sampling (Abadi et al. 2016, section 3.1). Batches have a fixed number of rows, as XLA
and slices need it: where fewer examples came, rows fill the batch up and do not count;
where more came, some of them are left out by lot, which the accountant must be told
(`TruncatedSubsampledGaussianDpEvent` in dp-accounting).
"""

import dataclasses
import functools
import math
from typing import Any

import tensorflow as tf

from kerascale.datasets import permutation, stateless
from kerascale.datasets.gathers import traced_as_it_is
from kerascale.datasets.pipeline import Batches
from kerascale.errors import RefusedError

# Deviations of the number of examples in a batch between its mean and the limit: fewer
# are left out than once in 10^9 batches, at which the price in epsilon is nothing.
_DEVIATIONS = 6.0


class Sampler:
    """Which examples come into which step: a pure function of a key and the step.

    Args:
        num_examples: Of the split.
        batch_size: How many come on the average.
        key: uint64 scalar, known to nobody: that a batch cannot be guessed is a part
            of what protects its examples.
        limit: Rows of a batch; None: enough.
    """

    def __init__(
        self,
        num_examples: int,
        batch_size: int,
        key: tf.Variable,
        limit: int | None = None,
    ) -> None:
        if not 0 < batch_size <= num_examples:
            raise RefusedError(
                f"batch_size: expected at most the {num_examples} training examples. "
                f"Received: {batch_size}."
            )
        self.num_examples = num_examples
        self.batch_size = batch_size
        self.key = key
        self.limit = limit or rows_for(num_examples, batch_size)

    @property
    def probability(self) -> float:
        """That an example comes into a batch."""
        return self.batch_size / self.num_examples

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many examples come as there are, on the average."""
        return -(-self.num_examples // self.batch_size)

    def indices(self, step: tf.Tensor) -> tf.Tensor:
        """The examples of a step, counted over all epochs; -1 where there is none.

        A batch of n examples is n places of a random order, n as many as would come.

        Returns:
            int64 of shape (limit,).
        """
        key = stateless.key_of_epoch(self.key.read_value(), step)
        seed = tf.bitcast(stateless.key_of_epoch(key, 0), tf.int64)
        came = tf.random.stateless_binomial(
            [],
            seed=tf.stack([seed, tf.bitcast(key, tf.int64)]),
            counts=tf.constant(self.num_examples, tf.float64),
            probs=tf.constant(self.probability, tf.float64),
            output_dtype=tf.int64,
        )
        places = tf.range(self.limit, dtype=tf.int64)
        order = permutation.permuted(
            places, stateless.key_of_epoch(key, 1), self.num_examples
        )
        return tf.where(places < came, order, -1)

    @functools.cached_property
    def indices_of(self) -> Any:
        """A function of the first step and how many: `indices` of each."""

        @tf.function(autograph=False)
        def run(first: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
            numbers = tf.cast(first, tf.int64) + tf.range(tf.cast(steps, tf.int64))
            return tf.map_fn(self.indices, numbers, parallel_iterations=2)

        return run


def rows_for(num_examples: int, batch_size: int) -> int:
    """Rows of a batch into which `batch_size` examples come on the average."""
    share = batch_size / num_examples
    deviation = math.sqrt(batch_size * (1 - share))
    rows = math.ceil(batch_size + _DEVIATIONS * deviation)
    # In eighths: parts for cores, and vector units, have no rest.
    return min(num_examples, -(-rows // 8) * 8)


@dataclasses.dataclass(frozen=True)
class PoissonBatches(Batches):
    """Batches of a `Sampler`: (x, y, weight), with -1 for rows that do not count.

    `batch_size` is the rows of a batch, and more than the examples in it.

    Args:
        sampler: Says which examples come.
        whole: The same examples in ordinary batches.
    """

    sampler: Sampler | None = None
    whole: Batches | None = None

    @property
    def steps_per_epoch(self) -> int:
        return self.sampler.steps_per_epoch

    @property
    def num_whole_batches(self) -> int:
        return self.sampler.steps_per_epoch

    def indices(self, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        return self.sampler.indices(epoch * self.steps_per_epoch + step)

    def indices_of(
        self,
        epoch: tf.Tensor,
        first: tf.Tensor,
        num_batches: int,
        columns: tuple[int, int] | None = None,
    ) -> tf.Tensor:
        begin = tf.cast(epoch, tf.int64) * self.steps_per_epoch
        begin += tf.cast(first, tf.int64)
        found = self.sampler.indices_of(begin, tf.constant(num_batches, tf.int64))
        found = tf.ensure_shape(found, [num_batches, self.batch_size])
        place, count = columns or (0, self.batch_size)
        return found[:, place : place + count]

    def for_evaluation(self) -> Batches:
        return self.whole.for_evaluation()

    def first(self, num_batches: int) -> Batches:
        return self.whole.first(num_batches)

    def repeated(self, num_batches: int, times: int) -> tuple[Batches, Batches]:
        return self.whole.repeated(num_batches, times)


def sampled(batches: Batches, sampler: Sampler) -> PoissonBatches:
    """The examples of some batches, in batches of a sampler.

    Args:
        batches: (x, y), or (x, y, weight).
        sampler: Of as many examples.
    """

    def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, ...]:
        counts = indices >= 0
        x, y, *weights = batches.gather(tf.maximum(indices, 0), epoch)
        ones = tf.ones(tf.shape(indices), weights[0].dtype if weights else tf.float32)
        given = weights[0] if weights else ones
        return x, y, tf.where(counts, given, -ones)

    return PoissonBatches(
        traced_as_it_is(gather, batches.gather),
        num_examples=batches.num_examples,
        batch_size=sampler.limit,
        seed=batches.seed,
        shuffle=True,
        host=batches.host,
        sampler=sampler,
        whole=batches,
    )
