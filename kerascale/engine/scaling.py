"""`kerascale.scale`: gives the step engine to a model of Keras."""

from typing import Literal

import keras

from kerascale.config import AllReduceDtype, Execution
from kerascale.engine.collectives import narrow
from kerascale.engine.compat import keras_faults, keras_private
from kerascale.engine.execution import prediction_loop, step_functions
from kerascale.engine.model import Engine
from kerascale.engine.parity import check as parity_check
from kerascale.engine.step import build
from kerascale.errors import RefusedError


def scale(
    model: keras.Model,
    *,
    batch_statistics: Literal["global", "replica"] = "global",
    execution: Execution = "auto",
    check: parity_check.Check = "first_step",
    all_reduce_dtype: AllReduceDtype = "gradient",
) -> keras.Model:
    """Gives the step engine to any Keras model, in place.

    The model keeps its layers, weights and compilation. Saved with `model.save`,
    it loads in plain Keras. On several replicas every `BatchNormalization` is set to
    `synchronized=True`, which is said.

    Args:
        model: A Functional, Sequential or subclassed `keras.Model`.
        batch_statistics: `global`: those of the global batch, as on one device;
            `replica`: each replica's own, where `BatchNormalization` says so, with
            which the result depends on the number of replicas.
        execution: How `fit` executes steps, from arrays, where `compile` was not told
            `steps_per_execution`: `auto`: in the form that is fastest here, measured
            first; `fixed`: one by one; `loop`: many in one call; `one_program`: many
            as one program of XLA; `split`: many in one call, each with a program of
            XLA for every core; `compiled`: many in one call, each replica's part
            compiled by XLA, which on several workers is taken for the last two.
        check: `first_step`: before the first step on several replicas it is shown, on
            a few rows of the data, that slices of a batch are the batch as a whole;
            `never`: it is believed.
        all_reduce_dtype: In which gradients travel between hosts, or devices with
            memory of their own. `gradient`: in their own dtype; `float16`,
            `bfloat16`: rounded, with which the result depends, within that rounding,
            on the number of replicas.

    Returns:
        The same object.

    Raises:
        RefusedError: If `model` is not a `keras.Model`, or an argument is none of
            those.

    Example:

    ```python
    model = ks.scale(keras.Sequential([keras.layers.Dense(10)]))
    ```
    """
    if not isinstance(model, keras.Model):
        raise RefusedError(
            "scale() expected a keras.Model. "
            f"Received: model={model!r} (of type {type(model).__name__})."
        )
    if batch_statistics not in ("global", "replica"):
        raise RefusedError(
            'batch_statistics: expected "global" or "replica". '
            f"Received: {batch_statistics!r}."
        )
    if check not in ("first_step", "never"):
        raise RefusedError(
            f'check: expected "first_step" or "never". Received: {check!r}.'
        )
    narrow.refuse_unknown(all_reduce_dtype)
    # Behind the class's own methods: a user's train_step stays the user's.
    keras_private.adopt_class(model, Engine, behind=True)
    build.set_batch_statistics(model, batch_statistics)
    model.execution = execution
    model.all_reduce_dtype = all_reduce_dtype
    keras_faults.mend(model)
    parity_check.set_check(model, check)
    # Those that Keras has made before are no longer the model's.
    model.train_function = model.test_function = model.predict_function = None
    step_functions.forget(model)
    prediction_loop.forget(model)
    return model


def scale_as_told(model: keras.Model) -> keras.Model:
    """Scales a model; one that is scaled already keeps what was told of it then."""
    return scale(
        model,
        batch_statistics=build.batch_statistics(model),
        execution=getattr(model, "execution", "auto"),
        check=parity_check.asked_check(model),
        all_reduce_dtype=getattr(model, "all_reduce_dtype", "gradient"),
    )
