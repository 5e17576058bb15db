"""Masks that hold in each step, in every form of execution.

They stand at Keras' own place for what must hold after an update: the constraint of a
variable. There a mask is chosen when its time has come, too, by the count of updates:
no callback looks between steps, of which many may run in one call or in one program.
The engine's Adam applies it within its update: see `kerascale.engine.step.in_update`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.compression.pruning import choice, targets
from kerascale.compression.pruning.choice import Structure
from kerascale.compression.pruning.plan import Plan
from kerascale.compression.pruning.target import Target
from kerascale.engine.compat import keras_private, tensorflow_private
from kerascale.engine.step import in_update
from kerascale.errors import RefusedError
from kerascale.runtime.console import say

# An attribute of a model: its masks.
_MASKS = "_kerascale_masks"


class Masked(in_update.InUpdate):
    """Puts a variable to zero where its mask is zero.

    Args:
        variable: The variable.
        mask: 0 or 1. Of the variable's dtype, too: to make numbers of bits takes as
            long as to multiply them.
        before: The variable's own constraint; or None.
        spread: Makes of the mask one of the variable's shape, or of its last axis.
        choose: Changes the mask when its time has come; None: another variable's does.
    """

    def __init__(
        self,
        variable: keras.Variable,
        mask: keras.Variable,
        before: Any,
        spread: Callable[[Any], Any],
        choose: Callable[[], None] | None = None,
    ) -> None:
        self.variable = variable
        self.mask = mask
        self.before = before
        self.spread = spread
        self.choose = choose

    def __call__(self, value: Any) -> Any:
        given = keras.ops.convert_to_tensor(value)
        value = super().__call__(given)
        if self.choose is None:
            return value
        # A choice reads what was written. If the new value went through its condition,
        # XLA could not make one operation of the update: 18 % more time for a step.
        if value is not given:
            self.variable.assign(value)
        self.choose()
        return tf.convert_to_tensor(self.variable.value)

    def constrained(self, value: Any) -> Any:
        if self.before is not None:
            value = self.before(value)
        mask = tf.cast(tf.convert_to_tensor(self.mask.value), value.dtype)
        return value * self.spread(mask)


@dataclasses.dataclass
class Masks:
    """All masks of a model.

    Args:
        masked: Each variable that has one, and its constraint.
        optimizer: Has the masks among its variables: they are saved with it.
    """

    masked: list[tuple[keras.Variable, Masked]]
    optimizer: keras.optimizers.Optimizer

    @property
    def variables(self) -> list[keras.Variable]:
        return [c.mask for _, c in self.masked if c.choose is not None]

    def apply(self) -> None:
        """Puts to zero what is masked, whatever was done to the weights."""
        for variable, constraint in self.masked:
            mask = np.asarray(constraint.spread(tf.convert_to_tensor(constraint.mask)))
            value = np.asarray(keras.ops.convert_to_numpy(variable))
            variable.assign(value * mask.astype(value.dtype))


def of(model: keras.Model) -> Masks | None:
    """The masks of a model that is being pruned."""
    return vars(model).get(_MASKS)


def install(model: keras.Model, plan: Plan, structure: Structure) -> Masks:
    """Gives a model masks, all 1 before their time.

    A model that has trained beyond the plan's begin keeps the zeros that it has.

    Args:
        model: Compiled and built.
        plan: When how much goes.
        structure: What goes.

    Raises:
        RefusedError: If the model has nothing of that structure.
    """
    optimizer = _optimizer_of(model)
    found = targets.of(model, structure)
    if structure == "2:4":
        found = _in_fours(found)
    goes_on = int(keras.ops.convert_to_numpy(optimizer.iterations)) > plan.begin
    masked: list[tuple[keras.Variable, Masked]] = []
    with model.distribute_strategy.scope():
        for target in found:
            masked += _masked(target, optimizer, plan, structure, goes_on)
    for variable, constraint in masked:
        variable.constraint = constraint
    masks = Masks(masked, optimizer)
    # Past Keras' own __setattr__, which would track it.
    vars(model)[_MASKS] = masks
    model.train_function = None  # One that was made before knows of no masks.
    return masks


def strip(model: keras.Model) -> None:
    """Takes the masks away. What they put to zero is zero.

    A step that was traced before has them still.
    """
    masks = vars(model).pop(_MASKS, None)
    if masks is None:
        return
    masks.apply()
    for variable, constraint in masks.masked:
        variable.constraint = constraint.before
    keras_private.forget(masks.optimizer, masks.variables)


def _optimizer_of(model: keras.Model) -> keras.optimizers.Optimizer:
    if not model.built:
        raise RefusedError(
            "pruning: expected a model that is built. Received: "
            f"{type(model).__name__}, which is not. Call model.build(input_shape)."
        )
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        raise RefusedError(
            "pruning: expected a model that is compiled with an optimizer. Received: "
            f"{type(model).__name__} without one. Call model.compile(...)."
        )
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        raise RefusedError(
            "pruning: expected one optimizer, whose updates are counted. Received: a "
            "MultiOptimizer. Compile with one."
        )
    if not optimizer.built:
        with model.distribute_strategy.scope():
            optimizer.build(model.trainable_variables)
    return keras_private.innermost(optimizer)


def _in_fours(found: list[Target]) -> list[Target]:
    fitting = [t for t in found if choice.fits_fours(t.kernel.shape)]
    left_out = [t.kernel.path for t in found if t not in fitting]
    if not fitting:
        raise RefusedError(
            "prune_structure 2:4: expected kernels whose inputs are a multiple of "
            f"four. Received: none ({', '.join(left_out)}). Prune unstructured."
        )
    if left_out:
        say(f"pruning: {', '.join(left_out)} left as is: inputs in no groups of four")
    return fitting


def _masked(
    target: Target,
    optimizer: keras.optimizers.Optimizer,
    plan: Plan,
    structure: Structure,
    goes_on: bool,
) -> list[tuple[keras.Variable, Masked]]:
    kernel, is_whole = target.kernel, structure in choice.WHOLE
    shape = (target.num_whole,) if is_whole else kernel.shape
    mask = optimizer.add_variable(
        shape, initializer="ones", dtype=kernel.dtype, name=f"{kernel.name}_mask"
    )
    if goes_on:
        values = np.asarray(keras.ops.convert_to_numpy(kernel))
        mask.assign((target.whole_norms() if is_whole else values) != 0)
    items = target.num_whole
    if not is_whole:
        items = choice.num_items(structure, kernel.shape)
    counts = [choice.items_that_go(structure, items, rate) for rate in plan.rates]
    choose = _Choose(optimizer, plan, counts, structure, target, mask)

    def masked(variable: keras.Variable, choose: Any = None) -> Masked:
        def spread(mask: Any) -> Any:
            return target.spread(mask, variable)

        return Masked(variable, mask, variable.constraint, spread, choose)

    return [
        (kernel, masked(kernel, choose)),
        *((v, masked(v)) for v in target.followers),
    ]


class _Choose:
    """Chooses a mask anew at the times of a plan, from what is not yet masked."""

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        plan: Plan,
        counts: list[int],
        structure: Structure,
        target: Target,
        mask: keras.Variable,
    ) -> None:
        self.optimizer = optimizer
        self.plan = plan
        # Made in advance: no device rounds them in its own way.
        self.counts = np.array(counts, np.int64)
        self.structure = structure
        self.target = target
        self.mask = mask

    def __call__(self) -> None:
        # Where gradients are accumulated it is computed, and no variable.
        now = tf.cast(keras.ops.convert_to_tensor(self.optimizer.iterations), tf.int64)
        times = self.plan.begin + self.plan.frequency * np.arange(len(self.counts))
        is_now = tf.equal(now, times)

        def change() -> None:
            count = tf.reduce_sum(tf.where(is_now, self.counts, 0))
            value = tf.convert_to_tensor(self.target.kernel.value)
            kept = self.target.choose(self.structure, value, count)
            self.mask.assign(tf.cast(kept, self.mask.dtype))
            for variable in (self.target.kernel, *self.target.followers):
                value = tf.convert_to_tensor(variable.value)
                mask = self.target.spread(tf.cast(kept, value.dtype), variable)
                variable.assign(value * mask)

        _where(tf.reduce_any(is_now), change)


def _where(is_due: tf.Tensor, change: Callable[[], None]) -> None:
    """Changes variables, or not.

    XLA makes copies, in each step, of what a condition may change, and none for a loop
    of one turn or none; of which TensorFlow's executor makes more than of a condition.
    That executor visits each operation of a branch that is not taken: here they are a
    function of its own, which is one.
    """
    if tensorflow_private.is_compiled_by_xla():

        def turn(_: tf.Tensor) -> list[tf.Tensor]:
            change()
            return [tf.constant(False)]

        tf.while_loop(lambda due: due, turn, [is_due], parallel_iterations=1)
        return

    called = tf.function(
        change, autograph=False, experimental_attributes={"_noinline": True}
    )

    def changed() -> tf.Tensor:
        called()
        return tf.constant(True)

    tf.cond(is_due, changed, lambda: tf.constant(False))
