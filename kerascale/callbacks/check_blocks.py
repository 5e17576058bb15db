"""Ends a training on packed data of which a block has changed."""

from typing import Any

import keras

from kerascale.datasets.packed.block_check import BlockCheck


class CheckBlocks(keras.callbacks.Callback):
    """Looks after each batch whether the check that runs beside has found something.

    Args:
        check: Of the data that is trained on.

    Raises:
        RowError: If it has.
    """

    every_step = False

    def __init__(self, check: BlockCheck) -> None:
        super().__init__()
        self._check = check

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._check.start()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._check.raise_fault()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._check.raise_fault()
