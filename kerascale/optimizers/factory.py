"""A configuration's optimizer, compiled model and layer options, in Keras.

This is what recipes share, so that a recipe says only what is its own.
"""

from typing import Any

import keras

from kerascale.config import TrainingConfig
from kerascale.optimizers import constraints
from kerascale.optimizers.schedules import make_schedule
from kerascale.strategies import model_parallel


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
    build_state(model)
    return model


def build_state(model: keras.Model) -> None:
    """Makes what the optimizer remembers, so that saving and loading skip nothing.

    Of a model for a mesh it is made when the weights have been cut: as they lie, so
    that no host has all of it.
    """
    if not model_parallel.is_made():
        model.optimizer.build(model.trainable_variables)
