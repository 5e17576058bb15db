"""The protocol of data: one split in batches, wherever its examples are."""

from typing import Any, Protocol

import tensorflow as tf


class Source(Protocol):
    """One split in batches.

    `Batches` computes each batch from its place, `Stream` reads a user's own
    `tf.data.Dataset` in turn. Whoever trains on one asks what it says of itself, never
    for its class.
    """

    first_step: int
    """Batches of the first epoch that is read which were done before."""

    last_step: int | None
    """Batches after which `fit` ends, in the middle of an epoch too, counted over all
    epochs; None: at the end of its last epoch."""

    @property
    def is_indexed(self) -> bool:
        """Whether a batch is computed from its place: `batch`, `indices`, `gather`."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass, the last partial one included."""

    @property
    def batch_size(self) -> int | None:
        """Examples in a full batch; None: that is not known."""

    @property
    def num_examples(self) -> int:
        """Examples in one pass."""

    @property
    def num_full_batches(self) -> int:
        """Batches in one pass that have `batch_size` examples; at least 1."""

    def dataset(self) -> tf.data.Dataset:
        """The batches of one epoch: (x, y)."""

    def for_evaluation(self) -> "Source":
        """The same examples as they are, in their own order."""

    def starting_at(self, step: int) -> "Source":
        """The same batches, of which `fit` skips some in its first epoch."""

    def ending_at(self, step: int) -> "Source":
        """The same batches, with which `fit` ends after so many in all epochs."""

    def first(self, num_batches: int) -> "Source":
        """The first batches alone."""

    def repeated(self, num_batches: int, times: int) -> tuple["Source", "Source"]:
        """The first batches, as they are, again and again; and once.

        Args:
            num_batches: How many.
            times: How often they come in one epoch.
        """

    def example_batch(self) -> Any:
        """A batch, or zeros of its shape where reading one would cost something.

        Returns:
            None where batches differ in their shape.
        """
