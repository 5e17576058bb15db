"""A user's own `tf.data.Dataset`, as a source."""

import dataclasses
from typing import Any

import tensorflow as tf

from kerascale.datasets import nests
from kerascale.datasets.rows import SeenRows
from kerascale.datasets.source import Source
from kerascale.errors import RefusedError


@dataclasses.dataclass(frozen=True)
class Stream:
    """A user's own `tf.data.Dataset` of batches (x, y), as one split.

    Its order is the user's own: shuffle it with a seed, or the run cannot be
    repeated.

    Args:
        batches: A finite dataset of known cardinality.
        batch_size: Examples in a batch; None: that is not known.
        first_step: Batches of the first epoch that is read which were done before.
            They are read again, and dropped.
        last_step: Batches after which `fit` ends, counted over all epochs; None: at the
            end of its last epoch.
        planned: Examples in one pass as far as is known before it; None:
            as if all batches were full.
        seen: Notes how many examples batches really have; None: nobody asks.
    """

    batches: tf.data.Dataset
    batch_size: int | None
    first_step: int = 0
    last_step: int | None = None
    planned: int | None = None
    seen: SeenRows | None = None

    is_indexed = False

    @property
    def steps_per_epoch(self) -> int:
        return int(self.batches.cardinality())

    @property
    def num_examples(self) -> int:
        """As they were counted in a pass; before it, as they are planned."""
        if self.seen is not None and self.seen.are_all_seen:
            return self.seen.total
        if self.planned is not None:
            return self.planned
        return self.steps_per_epoch * self.batch_size

    @property
    def num_full_batches(self) -> int:
        return self.steps_per_epoch

    def dataset(self) -> tf.data.Dataset:
        return self.batches if self.seen is None else self.seen.noted(self.batches)

    def for_evaluation(self) -> "Stream":
        return self

    def starting_at(self, step: int) -> "Stream":
        return dataclasses.replace(self, first_step=step)

    def ending_at(self, step: int) -> "Stream":
        return dataclasses.replace(self, last_step=step)

    def first(self, num_batches: int) -> "Stream":
        most = num_batches * self.batch_size
        return dataclasses.replace(
            self,
            batches=self.batches.take(num_batches),
            planned=min(most, self.num_examples),
            seen=SeenRows(min(num_batches, self.steps_per_epoch)),
        )

    def repeated(self, num_batches: int, times: int) -> tuple["Stream", "Stream"]:
        # Kept in memory: a user's own order may be another each time.
        kept = self.batches.take(num_batches).cache()
        once = dataclasses.replace(
            self, batches=kept, planned=None, seen=SeenRows(num_batches)
        )
        again = dataclasses.replace(
            once, batches=kept.repeat(times), seen=SeenRows(times * num_batches)
        )
        return again, once

    def example_batch(self) -> Any:
        specs = nests.flat(self.batches.element_spec)
        shapes = [[self.batch_size, *spec.shape[1:]] for spec in specs]
        if any(None in shape for shape in shapes):
            return None
        zeros = [tf.zeros(n, s.dtype) for n, s in zip(shapes, specs, strict=True)]
        return tf.nest.pack_sequence_as(self.batches.element_spec, zeros)


def as_source(data: Any) -> Source | None:
    """What `fit` was given, if it is a source or a `tf.data.Dataset`; else None.

    Raises:
        RefusedError: If it is a dataset that is distributed already.
    """
    if isinstance(data, tf.distribute.DistributedDataset):
        raise RefusedError(
            "data: expected a tf.data.Dataset of global batches. Received: one that "
            "is distributed already. Pass the dataset itself: fit gives each replica "
            "its rows."
        )
    if isinstance(data, tf.data.Dataset):
        return Stream(data, batch_size=None)
    # Of its class: a table may have a column of that name.
    return data if hasattr(type(data), "is_indexed") else None
