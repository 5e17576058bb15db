"""The data arguments of `fit`, `evaluate` and `predict`, as a feed."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from kerascale.datasets.stream import as_source
from kerascale.engine.collectives import consensus, replicas
from kerascale.engine.compat import keras_private
from kerascale.engine.data import batch_checks, feed, tf_data_checks
from kerascale.engine.data import class_weight as class_weights
from kerascale.errors import RefusedError


def training_feed(
    strategy: tf.distribute.Strategy,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    batch_size: int | None = None,
    steps: int | None = None,
    shuffle: bool = True,
    class_weight: dict[int, float] | None = None,
    num_outputs: int | None = None,
) -> Any:
    """What `fit` or `evaluate` should read.

    Args:
        strategy: That of the model.
        x: As in `keras.Model.fit`; or `kerascale.datasets` batches.
        y: As in `keras.Model.fit`.
        sample_weight: As in `keras.Model.fit`.
        batch_size: Rows of a global batch of arrays; None: 32.
        steps: `steps_per_epoch`, `validation_steps` or `steps`.
        shuffle: Whether arrays are shuffled.
        class_weight: As in `keras.Model.fit`.
        num_outputs: Outputs of the model for an example, where they are known.

    Returns:
        A `Feed`; or an adapter of Keras' own, for a generator on one device.
    """
    distributed = replicas.is_distributed(strategy)
    num_replicas = strategy.num_replicas_in_sync
    if isinstance(shuffle, str):
        raise RefusedError(
            f"shuffle: expected True or False. Received: {shuffle!r}, which would "
            "shuffle within batches that stay as they are. Shuffle the arrays, or pass "
            "a tf.data.Dataset."
        )
    class_weight = class_weights.checked(class_weight)
    if isinstance(x, keras_private.DataAdapter):
        if class_weight is not None:
            raise RefusedError(
                "class_weight: expected arrays, a tf.data.Dataset or batches of "
                f"kerascale.datasets as data. Received: {type(x).__name__}, which is "
                "read as it is. Put weights into its batches: (x, y, sample_weight)."
            )
        return x
    source = as_source(x)
    if source is not None and source.is_indexed:
        batch_checks.check_batch_size(source.batch_size, num_replicas)
        if class_weight is not None:
            source = class_weights.put_into(source, class_weight, num_outputs)
        made = feed.from_batches(source, strategy, steps=steps)
        made.last_step = source.last_step
        tf_data_checks.check_workers(
            strategy, made.num_batches, [source.seed, source.num_examples]
        )
        return made
    if source is not None:
        x = source.dataset()
        if class_weight is not None:
            labels = keras.utils.unpack_x_y_sample_weight(x.element_spec)[1]
            class_weight = class_weights.without_gaps(class_weight, labels, num_outputs)
    # PyDataset and the like are asked for shuffling by Keras, arrays by us.
    adapter = keras_private.adapter(
        x=x,
        y=y,
        sample_weight=sample_weight,
        batch_size=batch_size,
        steps_per_epoch=steps,
        shuffle=shuffle and source is None,
        class_weight=class_weight,
    )
    arrays = keras_private.arrays_of(adapter)
    if arrays is not None:
        data, batch_size = arrays
        if class_weight is not None:
            class_weights.check_classes(class_weight, data[1], num_outputs)
        if not any(_is_sparse(t) for t in tf.nest.flatten(data)):
            batch_checks.check_batch_size(batch_size, num_replicas)
            # Drawn only if it is used: Keras' seeds come from there too.
            seed = random.randrange(2**31) if shuffle else 0
            # That of the chief, for all.
            seed = int(consensus.gather(strategy, [seed])[0, 0])
            made = feed.from_arrays(
                data,
                strategy,
                batch_size=batch_size,
                shuffle=bool(shuffle),
                seed=seed,
                steps=steps,
            )
            tf_data_checks.check_workers(strategy, made.num_batches, [])
            return made
    if source is not None:
        dataset = adapter.get_tf_dataset()
        tf_data_checks.check(dataset, strategy)
        skip = source.first_step
        made = feed.from_dataset(dataset, strategy, steps=steps, skip=skip)
        made.last_step = source.last_step
        return made
    if replicas.num_workers(strategy) > 1:
        raise RefusedError(
            "data: expected a tf.data.Dataset or arrays: several workers must see the "
            f"same batches in step. Received: {type(x).__name__}. Use "
            "tf.data.Dataset.from_generator with "
            "tf.data.experimental.assert_cardinality(number_of_batches)."
        )
    if not distributed:
        return adapter
    return feed.from_dataset(
        adapter.get_tf_dataset(),
        strategy,
        steps=steps,
        num_batches=adapter.num_batches,
        adapter=_told_of_epochs(x, adapter),
    )


def prediction_feed(
    strategy: tf.distribute.Strategy, x: Any, batch_size: int | None, steps: int | None
) -> Any:
    """What `predict` should read: each process takes all of it."""
    adapter = keras_private.adapter(
        x=x, batch_size=batch_size, steps_per_epoch=steps, shuffle=False
    )
    return feed.from_dataset(
        adapter.get_tf_dataset(),
        strategy,
        steps=steps,
        num_batches=adapter.num_batches,
        local=True,
        adapter=_told_of_epochs(x, adapter),
    )


def feed_and_steps(
    name: str,
    strategy: tf.distribute.Strategy,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    steps: int | None,
    epochs: int = 1,
    **how: Any,
) -> tuple[Any, int | None]:
    """What should be read, and how many steps of it.

    Args:
        name: What the caller calls the steps.
        strategy: As `x`, `y`, `sample_weight`, `steps` and `how`: of `training_feed`.
        epochs: That will be trained.

    Raises:
        RefusedError: If more steps are asked for than there are batches.
    """
    data = training_feed(strategy, x, y, sample_weight, steps=steps, **how)
    batch_checks.check_steps(name, steps, data.num_batches, epochs)
    return data, limited(steps, data)


def validation_feed(
    strategy: tf.distribute.Strategy,
    data: Any,
    steps: int | None,
    batch_size: int | None,
) -> tuple[Any, int | None]:
    """The same of the `validation_data` of `fit`, as `keras.Model.fit` takes it."""
    own = keras.utils.unpack_x_y_sample_weight(data)
    return feed_and_steps(
        "validation_steps",
        strategy,
        *own,
        batch_size=batch_size,
        steps=steps,
        shuffle=False,
    )


def limited(steps: int | None, data: Any) -> int | None:
    """`steps` of an epoch of the data, within `keras.config.max_steps_per_epoch`."""
    most = keras.config.max_steps_per_epoch()
    if most is None or (steps or data.num_batches or most) <= most:
        return steps
    if isinstance(data, feed.Feed):
        data.steps = most
    return most


def _told_of_epochs(x: Any, adapter: Any) -> Any:
    return adapter if isinstance(x, keras.utils.PyDataset) else None


@contextlib.contextmanager
def with_epoch(callbacks: Any, data: Any) -> Iterator[Any]:
    """Callbacks, with the one that tells the feed its epoch.

    A `CallbackList` of the user's has it for the duration of a `fit`.
    """
    set_epoch = getattr(data, "set_epoch", None)
    if set_epoch is None:
        yield callbacks
    elif isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.callbacks.insert(0, set_epoch)
        try:
            yield callbacks
        finally:
            callbacks.callbacks.remove(set_epoch)
    else:
        yield [set_epoch, *as_list(callbacks)]


def as_list(callbacks: Any) -> list[keras.callbacks.Callback]:
    """The callbacks that `fit` was given, in any of the ways that Keras knows."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    return list(keras.tree.flatten(callbacks)) if callbacks else []


class PartialEpochs(keras.callbacks.CallbackList):
    """Callbacks of a `fit` that begins or ends in the middle of an epoch.

    They are not told of batches that were trained before, and training is stopped
    behind its last one.

    Args:
        skip: Steps of the first epoch that were done before.
        last_step: Steps after which training ends, counted over all epochs; None: it
            ends with its last epoch.
        steps_per_execution: That of the model.
        **kwargs: As of `keras.callbacks.CallbackList`; `steps` is those of an epoch.
    """

    def __init__(
        self,
        *args: Any,
        skip: int,
        last_step: int | None,
        steps_per_execution: int,
        steps: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, steps=steps, **kwargs)
        self._skip = skip
        self._last_step = last_step
        self._steps = steps
        self._stride = steps_per_execution

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        # Of this epoch; None: all of its steps.
        self._end = None
        if self._last_step is not None:
            end = self._last_step - epoch * self._steps
            self._end = end if end < self._steps else None
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._skip = 0
        super().on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch + self._stride > self._skip:
            super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        end = self._end
        # Keras counts a last execution as a whole one.
        done = batch if end is None else min(batch, end - 1)
        if done >= self._skip:
            super().on_train_batch_end(done, logs)
        if end is not None and batch + 1 >= end:
            self.model.stop_training = True


def _is_sparse(tensor: Any) -> bool:
    return isinstance(tensor, tf.SparseTensor | tf.RaggedTensor) or type(
        tensor
    ).__module__.startswith("scipy.sparse")
