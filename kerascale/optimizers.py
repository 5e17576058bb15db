"""A configuration's optimizer, learning-rate schedule and layer options, in Keras.

This is what recipes share, so that a recipe says only what is its own.
"""

import math
from typing import Any

import keras

from kerascale import constraints
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


def make_schedule(
    config: TrainingConfig, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate of each update.

    Args:
        config: Its `learning_rate`, `schedule`, `decay_rate`, `decay_epochs`,
            `warmup_epochs`, `epochs` and `gradient_accumulation_steps` are read.
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
        total = max(1, int(config.epochs * updates_per_epoch) - warmup_steps)
        after = schedules.CosineDecay(rate, total)
    else:
        after = rate
    return WarmUp(after, warmup_steps) if warmup_steps else after


def make_optimizer(
    config: TrainingConfig, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    """The optimizer that a configuration names, with schedule and clipping.

    Args:
        config: See `TrainingConfig`.
        steps_per_epoch: Batches in one pass over the training data.
    """
    optimizers = keras.optimizers
    makers = {
        "sgd": lambda **kw: optimizers.SGD(**kw),
        "momentum": lambda **kw: optimizers.SGD(momentum=config.momentum, **kw),
        "nesterov": lambda **kw: optimizers.SGD(
            momentum=config.momentum, nesterov=True, **kw
        ),
        "adagrad": lambda **kw: optimizers.Adagrad(**kw),
        "rmsprop": lambda **kw: optimizers.RMSprop(**kw),
        "adam": lambda **kw: optimizers.Adam(**kw),
        "adamw": lambda **kw: optimizers.AdamW(weight_decay=config.weight_decay, **kw),
    }
    micro_batches = config.gradient_accumulation_steps
    return makers[config.optimizer](
        gradient_accumulation_steps=micro_batches if micro_batches > 1 else None,
        learning_rate=make_schedule(config, steps_per_epoch),
        clipnorm=config.clipnorm,
        global_clipnorm=config.global_clipnorm,
        clipvalue=config.clipvalue,
    )


def layer_options(config: TrainingConfig) -> dict[str, Any]:
    """The arguments that all `kerascale.models` share, from a configuration.

    Returns:
        `dropout`, `kernel_initializer`, `kernel_regularizer` and
        `kernel_constraint`.
    """
    regularizer = (
        keras.regularizers.L1L2(config.l1, config.l2)
        if config.l1 or config.l2
        else None
    )
    constraint = None
    if config.max_norm is not None:
        constraint = keras.constraints.MaxNorm(config.max_norm)
    elif config.weight_clip is not None:
        constraint = constraints.ClipWeights(config.weight_clip)
    return {
        "dropout": config.dropout,
        "kernel_initializer": config.initializer,
        "kernel_regularizer": regularizer,
        "kernel_constraint": constraint,
    }


def compile_classifier(
    model: keras.Model, config: TrainingConfig, steps_per_epoch: int
) -> keras.Model:
    """Compiles a model that gives probabilities of classes.

    Args:
        model: Its output has the shape (batch, ..., classes).
        config: See `TrainingConfig`.
        steps_per_epoch: Batches in one pass over the training data.

    Returns:
        The same model.
    """
    model.compile(
        optimizer=make_optimizer(config, steps_per_epoch),
        # Keras takes the logits from in front of the softmax: no precision is lost.
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=config.steps_per_execution,
        # Keras would refuse XLA anyway where op determinism is on.
        jit_compile=False,
    )
    # With its state in place, saving and loading skip nothing.
    model.optimizer.build(model.trainable_variables)
    return model
