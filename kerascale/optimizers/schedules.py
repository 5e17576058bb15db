"""Learning-rate schedules: those of a configuration, and three that Keras lacks."""

import math
from typing import Any

import keras

from kerascale.config import TrainingConfig


@keras.saving.register_keras_serializable(package="kerascale")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Raises the learning rate linearly from zero, then follows a schedule.

    Update `s` (from 0) has the rate `target * (s + 1) / warmup_steps` while
    `s < warmup_steps`; after that the schedule begins at its own step 0. The
    method is that of Goyal et al. 2017, section 2.2 (arXiv:1706.02677).

    Args:
        after: The rate after the warm-up: a number or a `LearningRateSchedule`.
        warmup_steps: Updates of the warm-up, at least 1.

    Raises:
        ValueError: If `warmup_steps` is below 1.
    """

    def __init__(
        self,
        after: float | keras.optimizers.schedules.LearningRateSchedule,
        warmup_steps: int,
    ) -> None:
        super().__init__()
        if warmup_steps < 1:
            raise ValueError(
                "warmup_steps: expected an integer >= 1. "
                f"Received: warmup_steps={warmup_steps}"
            )
        self.after = after
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        step = keras.ops.cast(step, "float32")
        after_step = keras.ops.maximum(step - self.warmup_steps, 0.0)
        if callable(self.after):
            target = self.after(0.0)
            after = self.after(after_step)
        else:
            target = after = self.after
        rising = target * (step + 1.0) / self.warmup_steps
        return keras.ops.where(step < self.warmup_steps, rising, after)

    def get_config(self) -> dict[str, Any]:
        return {
            "after": keras.saving.serialize_keras_object(self.after),
            "warmup_steps": self.warmup_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WarmUp":
        after = keras.saving.deserialize_keras_object(config["after"])
        return cls(after, config["warmup_steps"])


@keras.saving.register_keras_serializable(package="kerascale")
class Lowered(keras.optimizers.schedules.LearningRateSchedule):
    """A share of the rates of another schedule.

    Args:
        schedule: The other one.
        factor: The share.
    """

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, factor: float
    ) -> None:
        super().__init__()
        self.schedule = schedule
        self.factor = factor

    def __call__(self, step: Any) -> Any:
        return self.schedule(step) * self.factor

    def get_config(self) -> dict[str, Any]:
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "factor": self.factor,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Lowered":
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["factor"])


@keras.saving.register_keras_serializable(package="kerascale")
class LoweredAfter(keras.optimizers.schedules.LearningRateSchedule):
    """The rates of another schedule, and from an update on a share of them.

    Args:
        schedule: The other one, or a number.
        steps: Updates before that, from 0 on.
        factor: The share.
    """

    def __init__(
        self,
        schedule: float | keras.optimizers.schedules.LearningRateSchedule,
        steps: int,
        factor: float,
    ) -> None:
        super().__init__()
        self.schedule = schedule
        self.steps = steps
        self.factor = factor

    def __call__(self, step: Any) -> Any:
        rate = self.schedule(step) if callable(self.schedule) else self.schedule
        step = keras.ops.cast(step, "float32")
        return rate * keras.ops.where(step < self.steps, 1.0, self.factor)

    def get_config(self) -> dict[str, Any]:
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "steps": self.steps,
            "factor": self.factor,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LoweredAfter":
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["steps"], config["factor"])


def make_schedule(
    config: TrainingConfig, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate of each update.

    Args:
        config: Its `learning_rate`, `schedule`, `decay_rate`, `decay_epochs`,
            `warmup_epochs`, `epochs`, `max_steps` and `gradient_accumulation_steps`
            are read.
        steps_per_epoch: Batches in one pass over the training data.

    Returns:
        A number for a constant rate, else a Keras schedule. A schedule counts
        updates, not batches.
    """
    schedules = keras.optimizers.schedules
    updates_per_epoch = steps_per_epoch / config.gradient_accumulation_steps
    warmup_steps = math.ceil(config.warmup_epochs * updates_per_epoch)
    decay_steps = config.decay_epochs * updates_per_epoch
    rate = float(config.learning_rate)
    if config.schedule == "exponential_decay":
        after = schedules.ExponentialDecay(rate, decay_steps, config.decay_rate)
    elif config.schedule == "inverse_time":
        after = schedules.InverseTimeDecay(rate, decay_steps, config.decay_rate)
    elif config.schedule == "cosine":
        total = config.max_steps or int(config.epochs * updates_per_epoch)
        after = schedules.CosineDecay(rate, max(1, total - warmup_steps))
    elif config.schedule == "constant":
        after = rate
    else:  # A name was added to `kerascale.config.Schedule` alone.
        raise NotImplementedError(f"no schedule is made for {config.schedule!r}")
    after = WarmUp(after, warmup_steps) if warmup_steps else after
    frozen_epochs = getattr(config, "frozen_epochs", 0)
    if frozen_epochs and getattr(config, "backbone", None) is not None:
        steps = int(frozen_epochs * updates_per_epoch)
        return LoweredAfter(after, steps, config.unfrozen_rate)
    return after
