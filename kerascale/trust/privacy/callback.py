"""Counts private steps while a model trains, before they are run."""

import math
import time
from collections.abc import Callable
from typing import Any

import keras

from kerascale.errors import RefusedError
from kerascale.runtime.console import say
from kerascale.trust.privacy import accountant
from kerascale.trust.privacy.accountant import Mechanism
from kerascale.trust.privacy.ledger import Ledger

# Steps are noted for about so long ahead: a kill costs as many that were not run.
_SECONDS_AHEAD = 2.0


class CountPrivacy(keras.callbacks.Callback):
    """Puts `epsilon` into the logs of each epoch, and ends training at a budget.

    Args:
        ledger: What was spent before; steps are noted in it.
        mechanism: What each step does.
        delta: Of the price.
        budget: The largest epsilon, or None.
        steps_per_epoch: Batches in one pass.
        draw_keys: Called where steps begin anew: no noise may come twice.
    """

    every_step = False

    def __init__(
        self,
        ledger: Ledger,
        mechanism: Mechanism,
        *,
        delta: float,
        budget: float | None,
        steps_per_epoch: int,
        draw_keys: Callable[[], None],
    ) -> None:
        super().__init__()
        self.ledger = ledger
        self.mechanism = mechanism
        self.delta = delta
        self.budget = budget
        self._steps_per_epoch = steps_per_epoch
        self._draw_keys = draw_keys
        self._has_begun = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._has_begun:  # After a blow-up: steps are run again.
            self._draw_keys()
        self._has_begun = True
        self.ledger.begin(self.mechanism)
        self._run = self._noted = 0
        self._block, self._noted_at = 1, 0.0

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self._is_new_epoch:
            self._is_new_epoch = False
            self._refuse_beyond(self._steps_per_epoch - batch)
        self._begin = batch
        left = self._steps_per_epoch - batch
        coming = min(left, self.model.steps_per_execution)
        if self._run + coming <= self._noted:
            return
        now = time.monotonic()
        is_soon = now - self._noted_at < _SECONDS_AHEAD
        self._block = 2 * self._block if is_soon else max(1, self._block // 2)
        self._noted_at = now
        self._noted = self._run + min(left, max(coming, self._block))
        self.ledger.note(self._noted)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        done = min(batch + 1, self._steps_per_epoch)
        self._run += done - self._begin

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._is_new_epoch = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._note_exactly()
        found = self.epsilon()
        if logs is not None and math.isfinite(found):  # Without noise there is none.
            logs["epsilon"] = found
        if self.budget is None or self._fits(self._steps_per_epoch):
            return
        if epoch + 1 < self.params.get("epochs", epoch + 1):
            say(
                f"dp: training ends after epoch {epoch + 1}: epsilon is {found:.4g}, "
                f"and one more epoch would cost more than {self.budget:g}"
            )
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._note_exactly()

    def epsilon(self) -> float:
        """What all steps have cost until now."""
        return accountant.price(self.ledger.spent, self.delta).epsilon

    def _note_exactly(self) -> None:
        if self._noted != self._run:
            self._noted = self._run
            self.ledger.note(self._run)

    def _fits(self, steps: int) -> bool:
        spent = [*self.ledger.spent, (self.mechanism, steps)]
        return accountant.price(spent, self.delta).epsilon <= self.budget

    def _refuse_beyond(self, steps: int) -> None:
        """Before the steps of an epoch: what does not fit is not begun."""
        if self.budget is None or self._fits(steps):
            return
        raise RefusedError(
            f"dp_epsilon: expected room for the next {steps} steps. Received: a budget "
            f"of {self.budget:g}, of which {self.epsilon():.4g} is spent by "
            f"{self.ledger.steps} steps; those that were run again after an "
            "interruption count again. Raise it (--allow-changes dp_epsilon), or take "
            "the model "
            "as it is, from the last checkpoint."
        )
