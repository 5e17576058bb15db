"""Batches as a pure function of (seed, epoch, step)."""

import dataclasses
import functools
from typing import Any

import tensorflow as tf

from kerascale.datasets import nests, order
from kerascale.datasets.gathers import (
    FromArrays,
    Gather,
    for_pipeline,
    is_traced_as_it_is,
    traced_as_it_is,
)
from kerascale.datasets.host_rows import HostRows
from kerascale.datasets.order import Order
from kerascale.datasets.pages import Pages

# That are computed beside each other; where Python reads rows, some wait for it while
# others are decoded.
_BATCHES_AT_ONCE, _READ_AT_ONCE = 2, 4

# AutoGraph takes 0.2 s to look for loops and conditions of Python. Ours have none.
_plain = tf.autograph.experimental.do_not_convert


@dataclasses.dataclass(frozen=True)
class Batches:
    """The batches of one split, each computed from its place alone.

    Batch `step` of epoch `epoch` depends on nothing but (seed, epoch, step): a run
    can begin at any step at no cost, and every process can compute any part of
    the same global batch.

    Args:
        gather: Gives the batch for example indices in a given epoch.
        num_examples: Examples in the split, at least 1.
        batch_size: Examples in a global batch; the last one of an epoch may have
            fewer.
        seed: Decides the order.
        shuffle: Whether each epoch has an order of its own; without it, examples
            come in the order of their indices.
        plain_gather: Like `gather`, without what training adds to the examples
            (augmentation, shifted windows); None: the same.
        first_step: Batches of the first epoch that is read which were done before.
        last_step: Batches after which `fit` ends, counted over all epochs; None: at the
            end of its last epoch.
        order: How each epoch is shuffled, if it is.
        host: What reads rows in threads of Python, if `gather` has that done; or None.
        pages: Where the examples are in mapped files, if these are larger than memory;
            or None.
    """

    gather: Gather
    num_examples: int
    batch_size: int
    seed: int
    shuffle: bool
    plain_gather: Gather | None = None
    first_step: int = 0
    last_step: int | None = None
    order: Order = "full"
    host: HostRows | None = None
    pages: Pages | None = None

    def for_evaluation(self) -> "Batches":
        """The same examples as they are, in their own order."""
        gather = self.plain_gather or self.gather
        return dataclasses.replace(
            self, gather=gather, shuffle=False, plain_gather=None
        )

    is_indexed = True

    @property
    def num_full_batches(self) -> int:
        """Batches in one pass that have `batch_size` examples; at least 1."""
        return max(1, self.num_examples // self.batch_size)

    @property
    def num_whole_batches(self) -> int:
        """Batches in one pass that have `batch_size` rows; there may be none."""
        return self.num_examples // self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass, the last partial one included."""
        return -(-self.num_examples // self.batch_size)

    def indices(self, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Which examples batch `step` (from 0) of `epoch` (from 0) holds.

        Returns:
            int64 of shape (batch,).
        """
        first = step * self.batch_size
        last = tf.minimum(first + self.batch_size, self.num_examples)
        positions = tf.range(first, last, dtype=tf.int64)
        if not self.shuffle:
            return positions
        return order.shuffled(
            positions,
            seed=self.seed,
            epoch=epoch,
            num_examples=self.num_examples,
            how=self.order,
        )

    def indices_of(
        self,
        epoch: tf.Tensor,
        first: tf.Tensor,
        num_batches: int,
        columns: tuple[int, int] | None = None,
    ) -> tf.Tensor:
        """Which examples several full batches hold.

        Args:
            epoch: From 0; int64 scalar.
            first: The first batch, from 0; int64 scalar.
            num_batches: How many. Those after the last full one of the epoch hold
                examples that are not theirs.
            columns: The first of the places in a batch that are asked for, and how
                many; None: all of them.

        Returns:
            int64 of shape (num_batches, batch_size), or of as many columns.
        """
        shape = (num_batches, self.batch_size)
        columns = columns or (0, self.batch_size)
        if self.shuffle:
            return order.batches(
                first * self.batch_size,
                shape,
                seed=self.seed,
                epoch=epoch,
                num_examples=self.num_examples,
                how=self.order,
                columns=columns,
            )
        positions = first * self.batch_size + order.places(shape, columns)
        found = tf.minimum(positions, self.num_examples - 1)
        return tf.reshape(found, (num_batches, columns[1]))

    def batch(self, epoch: tf.Tensor, step: tf.Tensor) -> tuple[Any, Any]:
        """Batch `step` (from 0) of `epoch` (from 0)."""
        return self.gather(self.indices(epoch, step), epoch)

    def _batch_for_pipeline(self, epoch: tf.Tensor, step: tf.Tensor) -> tuple[Any, Any]:
        with for_pipeline():
            return self.batch(epoch, step)

    @functools.cached_property
    def element_spec(self) -> Any:
        """That of a batch, whose number of examples is free."""
        if isinstance(self.gather, FromArrays):
            return nests.map_present(
                lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype),
                self.gather.arrays,
            )
        return self.dataset().element_spec

    def dataset(self, epochs: int = 1, start_step: int = 0) -> tf.data.Dataset:
        """The batches of several epochs, one after the other.

        Args:
            epochs: Passes over the data.
            start_step: The batch to begin at, counted over all epochs.

        Returns:
            A dataset of (x, y) with a free batch dimension.
        """
        stop = epochs * self.steps_per_epoch
        return self._mapped(self._places(tf.data.Dataset.range(start_step, stop)))

    def weighted(self, weights: tf.Tensor) -> "Batches":
        """Batches (x, y, weight) of arrays (x, y), which are (x, y) in an evaluation.

        Args:
            weights: Of each example, of shape (examples,).
        """
        return dataclasses.replace(
            self,
            gather=FromArrays((*self.gather.arrays, weights)),
            plain_gather=self.plain_gather or self.gather,
        )

    def starting_at(self, step: int) -> "Batches":
        """The same batches, of which `fit` skips some in its first epoch.

        Args:
            step: How many: from 0 to `steps_per_epoch`.
        """
        return dataclasses.replace(self, first_step=step)

    def ending_at(self, step: int) -> "Batches":
        """The same batches, with which `fit` ends.

        Args:
            step: After how many, counted from the first batch of epoch 0.
        """
        return dataclasses.replace(self, last_step=step)

    def first(self, num_batches: int) -> "Batches":
        """The first batches of each epoch alone."""
        most = num_batches * self.batch_size
        return dataclasses.replace(self, num_examples=min(most, self.num_examples))

    def repeated(self, num_batches: int, times: int) -> tuple["Batches", "Batches"]:
        """The first batches of the first epoch, as they are, `times` times; and once.

        In their own order they may be of one class: they are drawn as epoch 0 has
        them, and none of them is augmented.
        """
        batch_size = min(self.batch_size, self.num_examples)
        kept = num_batches * batch_size
        chosen = order.shuffled(
            tf.range(kept, dtype=tf.int64),
            seed=self.seed,
            epoch=0,
            num_examples=self.num_examples,
            how=self.order,
        )
        gather = self.for_evaluation().gather

        def again(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any]:
            return gather(tf.gather(chosen, indices % kept), epoch)

        once = dataclasses.replace(
            self,
            gather=traced_as_it_is(again, gather),
            plain_gather=None,
            shuffle=False,
            batch_size=batch_size,
            num_examples=kept,
            pages=None,  # Of other indices; and what is read again is in memory.
        )
        return dataclasses.replace(once, num_examples=times * kept), once

    def example_batch(self) -> tuple[Any, Any]:
        """The first batch of the first epoch."""
        zero = tf.constant(0, tf.int64)
        return self.batch(zero, zero)

    def epoch_dataset(
        self,
        epoch: tf.Variable,
        first_step: tf.Variable | None = None,
        end: tf.Variable | None = None,
    ) -> tf.data.Dataset:
        """The batches of one epoch, which is read when iteration begins.

        `model.fit` iterates a dataset once per epoch. So each epoch ends where it
        should, whatever `steps_per_execution` is; a dataset of all epochs with
        `steps_per_epoch` would be read beyond an epoch's end.

        Args:
            epoch: int64 scalar; see `kerascale.callbacks.SetEpoch`.
            first_step: int64 scalar: the batch to begin at; None: the first.
            end: int64 scalar: the epoch before which the dataset ends, for who knows
                where an epoch does; of that one, or an earlier one, and with None the
                dataset has one epoch.
        """
        num = self.steps_per_epoch

        def steps_of(_: tf.Tensor) -> tf.data.Dataset:
            now = epoch.read_value()
            first = now * num
            last = first + num
            if first_step is not None:
                first += first_step.read_value()
            if end is not None:
                last = tf.maximum(last, end.read_value() * num)
            return self._places(tf.data.Dataset.range(first, last))

        steps = tf.data.Dataset.from_tensors(0).flat_map(_plain(steps_of))
        if first_step is None:
            known = tf.data.experimental.assert_cardinality(num)
            steps = steps.apply(known)
        return self._mapped(steps)

    def _places(self, steps: tf.data.Dataset) -> tf.data.Dataset:
        """Of steps that are counted over all epochs: (epoch, step of it)."""
        num = self.steps_per_epoch
        return steps.map(_plain(lambda step: (step // num, step % num)))

    def _mapped(self, steps: tf.data.Dataset) -> tf.data.Dataset:
        options = tf.data.Options()
        options.deterministic = True
        # A batch is one gather: tf.data's own tuning costs more than it saves.
        options.autotune.enabled = False
        # To rewrite the graph it copies every tensor in it, the whole of arrays too.
        options.experimental_optimization.apply_default_optimizations = False
        at_once = _BATCHES_AT_ONCE
        if self.host is not None:
            at_once = _READ_AT_ONCE
            # Who waits for them takes no thread from the operations of a step.
            options.threading.private_threadpool_size = 2 * at_once
        batch = self._batch_for_pipeline
        if is_traced_as_it_is(self.gather):  # Else it may be a user's own.
            batch = _plain(batch)
        return (
            steps.map(batch, num_parallel_calls=at_once, deterministic=True)
            .prefetch(4)
            .with_options(options)
        )
