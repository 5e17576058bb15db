"""What `fit` reads: global batches, cut into a slice for each local replica."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets import nests, resident
from kerascale.datasets.gathers import FromArrays, traced_as_it_is
from kerascale.datasets.pipeline import Batches
from kerascale.engine.collectives import replicas
from kerascale.engine.compat import keras_private
from kerascale.engine.data import slices, waits
from kerascale.engine.data.one_iterator import OneIterator
from kerascale.engine.data.set_epoch import SetEpoch, counter
from kerascale.engine.data.step_iterator import StepIterator, StepsLeft


class _Steps(tf.distribute.DistributedDataset):
    """Tells Keras that there is nothing left to distribute."""

    def __init__(self, feed: "Feed") -> None:
        self._feed = feed
        self._skip = feed.skip

    def __iter__(self) -> StepIterator:
        # The first iterator alone begins in the middle of an epoch.
        skip, self._skip = self._skip, 0
        feed = self._feed
        elements = (lambda _: feed.dataset) if feed.begins_when_read else None
        if feed.one_iterator is not None:
            elements = feed.one_iterator.of
        return StepIterator(
            iter(feed.dataset) if elements is None else elements,
            feed.steps,
            feed.num_batches,
            skip,
            feed.batches,
            feed.set_epoch,
            feed.steps_left,
            feed.sizes_may_differ,
        )

    @property
    def element_spec(self) -> Any:
        return self._feed.dataset.element_spec


class Feed(keras_private.DataAdapter):
    """Batches as Keras' `fit` takes them.

    An element is the data of a batch where there is one replica; else a tuple with an
    item for each local replica, each (data, int64 [size, offset, count]).

    Args:
        dataset: Of such elements; or a function that makes it.
        element_spec: That of a global batch: (x,), (x, y) or (x, y, sample_weight).
        num_batches: Batches in an epoch; None: unknown.
        steps_per_epoch: Steps that `fit` was asked for; None: all batches.
        set_epoch: Tells the dataset which epoch it reads; None: it does not ask.
        skip: Steps of the first epoch that were done before.
        batches: What computes global batches from their place; or None.
        adapter: Keras' own, of an object that is told of epochs (`PyDataset`); or None.
    """

    def __init__(
        self,
        dataset: tf.data.Dataset | Callable[[], tf.data.Dataset],
        element_spec: Any,
        num_batches: int | None,
        steps_per_epoch: int | None = None,
        set_epoch: SetEpoch | None = None,
        skip: int = 0,
        batches: Batches | None = None,
        adapter: keras_private.DataAdapter | None = None,
    ) -> None:
        self._dataset = dataset
        self._adapter = adapter
        self.batches = batches
        self.batch_spec = element_spec
        self.set_epoch = set_epoch
        self.skip = skip
        self.steps = steps_per_epoch or num_batches
        # Steps after which `fit` ends, counted over all epochs; None: with the last.
        self.last_step: int | None = None
        # What `fit` may run in all of its epochs; None: all of them.
        self.steps_left: StepsLeft | None = None
        self._num_batches = num_batches
        # Of all epochs, where the dataset goes on with the next one; or None.
        self.one_iterator: OneIterator | None = None
        if set_epoch is not None and set_epoch.end is not None:
            self.one_iterator = OneIterator(
                lambda: self.dataset, num_batches, set_epoch.end
            )

    @functools.cached_property
    def dataset(self) -> tf.data.Dataset:
        """Made when it is first asked for, which takes longer than some epochs."""
        return self._dataset() if callable(self._dataset) else self._dataset

    def get_tf_dataset(self) -> Any:
        return _Steps(self)

    @property
    def begins_when_read(self) -> bool:
        """Whether nothing is read of an epoch before its first step.

        A dataset of a user's own begins when an iterator is made, where its seeds are
        counted. What is told of epochs must have been told of the last one's end.
        """
        return self.batches is not None or self._adapter is not None

    @property
    def sizes_may_differ(self) -> bool:
        """Whether one batch may have another shape than the next."""
        if self.batches is not None:
            return False
        specs = nests.flat(self.batch_spec)
        return not all(_is_of_fixed_shape(spec) for spec in specs)

    def on_epoch_begin(self) -> None:
        if self._adapter is not None:
            self._adapter.on_epoch_begin()

    def on_epoch_end(self) -> None:
        if self._adapter is not None:
            self._adapter.on_epoch_end()

    @property
    def num_batches(self) -> int | None:
        return self._num_batches

    @property
    def batch_size(self) -> int | None:
        return None

    @property
    def has_partial_batch(self) -> None:
        return None

    @property
    def partial_batch_size(self) -> None:
        return None


def from_dataset(
    dataset: tf.data.Dataset,
    strategy: tf.distribute.Strategy,
    *,
    steps: int | None = None,
    num_batches: int | None = None,
    skip: int = 0,
    local: bool = False,
    adapter: keras_private.DataAdapter | None = None,
) -> Feed:
    """A feed out of a dataset of global batches.

    Each process reads all of the dataset and keeps its rows.

    Args:
        dataset: Elements are batches (x,), (x, y) or (x, y, sample_weight), or x.
        strategy: That of the model.
        steps: `steps_per_epoch`; or None.
        num_batches: Where the dataset itself does not know; or None.
        skip: Batches of the first epoch that are read and dropped.
        local: Whether each process takes whole batches, cut for its own replicas.
        adapter: See `Feed`.
    """
    cardinality = int(dataset.cardinality())
    if cardinality >= 0:
        num_batches = cardinality
    spec = dataset.element_spec
    set_epoch = None
    if skip:
        whole = dataset
        set_epoch = SetEpoch(first_step=counter("first_step"), skip=skip)
        dataset = tf.data.Dataset.from_tensors(0).flat_map(
            lambda _: whole.skip(set_epoch.first_step.read_value())
        )
    if replicas.is_distributed(strategy):
        count = strategy.num_replicas_in_sync
        ids = replicas.local_ids(strategy)
        if local:
            count = len(ids)
            ids = list(range(count))
        static = slices.static_rows(strategy, _batch_size(spec)) if not local else None

        def sliced(*batch: Any) -> Any:
            # tf.data calls with what is in a tuple.
            batch = batch if type(spec) is tuple else batch[0]
            return slices.cut(batch, ids, count, static)

        dataset = dataset.map(
            tf.autograph.experimental.do_not_convert(sliced),
            num_parallel_calls=2,
            deterministic=True,
        )
        dataset = dataset.prefetch(2)
    dataset = waits.clocked(dataset)
    return Feed(dataset, spec, num_batches, steps, set_epoch, skip, adapter=adapter)


def from_batches(
    batches: Batches,
    strategy: tf.distribute.Strategy,
    *,
    steps: int | None = None,
) -> Feed:
    """A feed out of batches that are computed from their place.

    Each process gathers the rows of its own slices only.
    """
    skip = batches.first_step
    # What is read by Python is not read ahead of an epoch that may never come.
    end = None if batches.host is not None else counter("end")
    set_epoch = SetEpoch(first_step=counter("first_step"), skip=skip, end=end)
    variables = (set_epoch.epoch, set_epoch.first_step, end)
    known = (batches.element_spec, batches.steps_per_epoch, steps, set_epoch, skip)
    if not replicas.is_distributed(strategy):
        make = lambda: waits.clocked(batches.epoch_dataset(*variables))  # noqa: E731
        return Feed(make, *known, batches)
    ids = replicas.local_ids(strategy)
    count = strategy.num_replicas_in_sync
    static = slices.static_rows(strategy, batches.batch_size)

    def gather(indices: tf.Tensor, epoch: tf.Tensor) -> Any:
        return tuple(
            (batches.gather(rows, epoch), where)
            for rows, where in slices.cut(indices, ids, count, static)
        )

    gather = traced_as_it_is(gather, batches.gather)
    sliced = dataclasses.replace(batches, gather=gather)
    make = lambda: waits.clocked(sliced.epoch_dataset(*variables))  # noqa: E731
    return Feed(make, *known, batches)


def of_strategy(made: Feed, strategy: tf.distribute.Strategy) -> Feed:
    """The same batches, that are computed from their place, for another strategy."""
    other = from_batches(made.batches, strategy, steps=made.steps)
    other.last_step = made.last_step
    return other


def from_arrays(
    arrays: Any,
    strategy: tf.distribute.Strategy,
    *,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    steps: int | None = None,
) -> Feed:
    """A feed out of arrays in memory, in an order of ours.

    Args:
        arrays: (x,), (x, y) or (x, y, sample_weight): nests of arrays, or of None
            where a member is absent.
        strategy: That of the model.
        batch_size: Rows of a global batch.
        shuffle: Whether each epoch has an order of its own.
        seed: Decides the order.
        steps: `steps_per_epoch`; or None.
    """
    with tf.device("CPU"):
        # A list would be taken for a tensor by tf.data: Keras makes tuples of them.
        arrays = keras.tree.lists_to_tuples(arrays)
        tensors = nests.map_present(tensor, arrays)
    num_examples = nests.flat(tensors)[0].shape[0]
    gather = FromArrays(tensors)
    batches = Batches(gather, num_examples, batch_size, seed=seed, shuffle=shuffle)
    return from_batches(batches, strategy, steps=steps)


def _is_of_fixed_shape(spec: tf.TypeSpec) -> bool:
    return isinstance(spec, tf.TensorSpec) and spec.shape.is_fully_defined()


def _batch_size(spec: Any) -> int | None:
    shape = nests.flat(spec)[0].shape
    return shape[0] if shape.rank else None


def tensor(array: Any) -> tf.Tensor:
    """An array of `fit` as Keras' own adapter gives it."""
    given = tf.is_tensor(array)
    if not given:
        array = np.asarray(array)  # A pandas column, say.
        if array.dtype == object:
            return tf.constant(array)
    floating = keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(array.dtype)
    )
    dtype = keras.config.floatx() if floating else None
    if not given:
        return resident.tensor(array, dtype)
    return tf.cast(array, dtype) if floating else tf.constant(array)
