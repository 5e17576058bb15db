"""`adversarial`: lets a model train on attacked examples, with plain `model.fit`.

Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks". In
one step (`fgsm`) it is that of Wong et al. 2020, "Fast is better than free".
"""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard
from kerascale.engine.scaling import scale_as_told
from kerascale.errors import RefusedError
from kerascale.trust.attacks import uphill
from kerascale.trust.attacks.ball import Ball, as_float

# An attribute of a model: its `_Attack`.
_ATTACK = "_kerascale_attack"


class Draws(keras.random.SeedGenerator):
    """What random starts are drawn from. It counts batches.

    Draws depend on an example's place in the global batch, as those of
    `kerascale.layers.Dropout` do.
    """

    draws_by_place = True


@dataclasses.dataclass(frozen=True)
class _Attack:
    """What is done to the examples of a step."""

    draws: Draws
    ball: Ball
    steps: int
    step_size: float
    warmup_batches: int

    def __call__(
        self, model: keras.Model, x: tf.Tensor, y: Any, training: bool
    ) -> tf.Tensor:
        x = as_float(x)
        ball, step_size, start = self.ball, self.step_size, x
        if training:
            seed, draw = tf.unstack(tf.cast(self.draws.next(), tf.uint64))
            share = self._share(draw, x.dtype)
            ball = dataclasses.replace(ball, epsilon=ball.epsilon * share)
            step_size = step_size * share
            here = shard.current()
            offset = tf.zeros((), tf.int64) if here is None else here.offset
            start = ball.start(x, seed, draw, offset)
        loss = uphill.compiled_loss_of(model)
        return uphill.climb(model, x, y, start, loss, ball, self.steps, step_size)

    def _share(self, batches: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """How much of epsilon there is after so many batches."""
        if not self.warmup_batches:
            return tf.ones((), dtype)
        done = tf.cast(batches + 1, dtype) / self.warmup_batches
        return tf.minimum(done, tf.ones((), dtype))


class Attacked:
    """Put in front of a model's class: its steps compute on attacked examples."""

    def step_inputs(self, x: Any, y: Any, *, training: bool) -> Any:
        x = super().step_inputs(x, y, training=training)
        attack = vars(self).get(_ATTACK)
        if attack is None:
            return x
        if not hasattr(x, "shape") or y is None:
            raise RefusedError(
                "adversarial: expected one tensor of examples, and labels. Received: "
                f"{type(x).__name__}{'' if y is not None else ' without labels'}."
            )
        return attack(self, x, y, training)


def adversarial(
    model: keras.Model,
    ball: Ball,
    *,
    steps: int = 7,
    step_size: float | None = None,
    warmup_batches: int = 0,
    seed: int = 0,
) -> keras.Model:
    """Lets a model train on examples that are changed against it, in place.

    Each is moved uphill along its own loss from a random point of the ball, with the
    model as it is before the step and its layers in inference mode; it then trains on
    the result as on any example. In validation steps begin at the example itself, and
    the ball has its whole size. Where a point is drawn depends on the example's place
    in the global batch: so it is the same on any number of replicas.

    Args:
        model: A Functional, Sequential or subclassed model with one input, one output
            and one loss. It gets the step engine; see `kerascale.scale`.
        ball: How far an example may move, and which numbers it may have.
        steps: How many gradients each example takes.
        step_size: How far a step goes, in the units of `ball.epsilon`. Default:
            2.5 * epsilon / steps.
        warmup_batches: Batches over which epsilon, and a step with it, rises linearly.
        seed: Of the random points.

    Returns:
        The same object.

    Raises:
        RefusedError: If an argument is wrong, or the model has a training step of its
            own.

    Example:

    ```python
    ball = Ball("inf", epsilon=0.1, scale=1.0, low=0.0, high=1.0)
    model = adversarial(model, ball, steps=10)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=5)
    model = finish(model)
    ```
    """
    _refuse_wrong(ball, steps, step_size, warmup_batches)
    scale_as_told(model)
    if not model.has_default_train_step:
        raise RefusedError(
            "adversarial: expected a model with Keras' own training step. Received: "
            f"{type(model).__name__}, which overrides train_step. Put its loss into "
            "compute_loss()."
        )
    finish(model)  # Of an attack that it was given before.
    keras_private.adopt_class(model, Attacked)
    with model.distribute_strategy.scope():
        draws = Draws(seed, name="adversarial_starts")
    keras_private.add_seed_generator(model, draws)
    if step_size is None:
        step_size = 2.5 * ball.epsilon / steps
    # Past Keras' own __setattr__, which would track it.
    vars(model)[_ATTACK] = _Attack(draws, ball, steps, step_size, warmup_batches)
    # Those that were made before know nothing of it.
    model.train_function = model.test_function = None
    return model


def finish(model: keras.Model) -> keras.Model:
    """Takes away what a model has beside itself, once it has learned.

    Returns:
        The same object, which trains on examples as they are.
    """
    attack = vars(model).pop(_ATTACK, None)
    if attack is not None:
        keras_private.remove_seed_generator(model, attack.draws)
        model.train_function = model.test_function = None
    return model


def _refuse_wrong(
    ball: Ball, steps: int, step_size: float | None, warmup_batches: int
) -> None:
    problems = []
    if not 0 < ball.epsilon < float("inf"):
        problems.append(
            f"epsilon: expected a finite number > 0. Received: {ball.epsilon!r}"
        )
    if type(steps) is not int or steps < 1:
        problems.append(f"steps: expected an integer >= 1. Received: {steps!r}")
    if step_size is not None and not 0 < step_size < float("inf"):
        problems.append(
            f"step_size: expected a finite number > 0. Received: {step_size!r}"
        )
    if type(warmup_batches) is not int or warmup_batches < 0:
        problems.append(
            f"warmup_batches: expected an integer >= 0. Received: {warmup_batches!r}"
        )
    if problems:
        raise RefusedError(problems, heading="adversarial")
