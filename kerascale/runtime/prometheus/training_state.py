"""What is known of a training at any moment, for whoever asks from another thread."""

import bisect
import copy
import threading
import time
from collections.abc import Mapping

from kerascale.runtime import heartbeat

# Upper bounds in seconds: from a small model on a GPU to a large one on processors.
STEP_BOUNDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
)  # fmt: skip


class TrainingState:
    """Plain numbers, written by the training and copied by who reads.

    Nothing of TensorFlow is held here: a reader can neither wait for a device nor
    take part in a communication between workers. Times are Unix times, in seconds.

    Args:
        labels: What tells the run from others, such as its recipe.
        restarts: Reason -> how often the job was started again for it.
        checkpoint_seconds: The longest planned time between two saves; None: saves
            do not depend on the time.
    """

    def __init__(
        self,
        labels: Mapping[str, str] | None = None,
        restarts: Mapping[str, int] | None = None,
        checkpoint_seconds: float | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self.labels = dict(labels or {})
        self.restarts = dict.fromkeys(heartbeat.REASONS, 0) | dict(restarts or {})
        self.checkpoint_seconds = checkpoint_seconds
        # Of this process: steps that a rollback makes it repeat count again.
        self.steps = 0
        self.examples = 0
        # One more than there are bounds: the last has none.
        self.step_counts = [0] * (len(STEP_BOUNDS) + 1)
        self.step_seconds = 0.0
        self.checkpoints = 0
        self.failed_saves = 0
        self.non_finite = 0
        self.rollbacks = 0
        # Of the run, whichever processes trained it.
        self.position = 0
        self.planned_steps: int | None = None
        self.loss: float | None = None
        self.validation_loss: float | None = None
        self.learning_rate: float | None = None
        self.is_training = False
        self.start_time: float | None = None
        self.progress_time: float | None = None
        self.checkpoint_time: float | None = None
        self.failed_save_time: float | None = None
        self.non_finite_time: float | None = None

    def copy(self) -> "TrainingState":
        """All numbers, as of one moment."""
        with self._lock:
            copied = copy.copy(self)
            copied.step_counts = list(self.step_counts)
            return copied

    def began(self, position: int, planned_steps: int) -> None:
        """Training begins, or goes on after a rollback.

        Args:
            position: Batches of the run that are done.
            planned_steps: Batches of the whole run.
        """
        with self._lock:
            self.position = position
            self.planned_steps = planned_steps
            self.is_training = True
            self.progress_time = time.time()
            if self.start_time is None:
                self.start_time = self.progress_time

    def trained(
        self, position: int, steps: int, examples: int, seconds: float | None
    ) -> None:
        """Some steps were done.

        Args:
            position: Batches of the run that are done now.
            steps: How many of them were done now.
            examples: How many examples they had.
            seconds: How long they took together, which is spread evenly over them;
                None: it tells nothing of a step, as where it was compiled too.
        """
        with self._lock:
            self.position = position
            self.steps += steps
            self.examples += examples
            self.progress_time = time.time()
            if seconds is not None:
                place = bisect.bisect_left(STEP_BOUNDS, seconds / steps)
                self.step_counts[place] += steps
                self.step_seconds += seconds

    def progressed(self) -> None:
        """Something was done that is no step of training: a batch was validated."""
        with self._lock:
            self.progress_time = time.time()

    def saw(
        self,
        *,
        loss: float | None = None,
        validation_loss: float | None = None,
        learning_rate: float | None = None,
    ) -> None:
        """Takes over what was read from the device; None: as before."""
        with self._lock:
            if loss is not None:
                self.loss = loss
            if validation_loss is not None:
                self.validation_loss = validation_loss
            if learning_rate is not None:
                self.learning_rate = learning_rate

    def saved(self) -> None:
        """A checkpoint is on the disk."""
        with self._lock:
            self.checkpoints += 1
            self.checkpoint_time = time.time()

    def save_failed(self) -> None:
        """A checkpoint could not be written."""
        with self._lock:
            self.failed_saves += 1
            self.failed_save_time = time.time()

    def blew_up(self) -> None:
        """The loss or a weight became NaN or infinite."""
        with self._lock:
            self.non_finite += 1
            self.non_finite_time = time.time()

    def rolled_back(self) -> None:
        """The run went back from a blow-up."""
        with self._lock:
            self.rollbacks += 1

    def ended(self) -> None:
        """No step follows any more, whatever the reason."""
        with self._lock:
            self.is_training = False
