"""`check_gradients`: numeric derivatives against those that training uses."""

from collections.abc import Sequence
from typing import Any, get_args

import keras
import numpy as np
import tensorflow as tf

from kerascale.config.fields import nearest
from kerascale.engine.compat import keras_private
from kerascale.engine.execution.modes import Kind
from kerascale.engine.scaling import scale_as_told
from kerascale.errors import RefusedError
from kerascale.runtime.console import say
from kerascale.trust.gradients import alone, functions, recording, rows, subject
from kerascale.trust.gradients.loss import BatchLoss
from kerascale.trust.gradients.report import Report, Row
from kerascale.trust.gradients.subject import Subject

# Not a multiple of two or four: slices of replicas then differ in size.
EXAMPLES = 7


def check_gradients(
    target: Any,
    *inputs: Any,
    config: Any = None,
    layer: str | None = None,
    strategy: tf.distribute.Strategy | None = None,
    execution: Kind | None = None,
    examples: int = EXAMPLES,
) -> Report:
    """Compares automatic gradients with differences of the loss, in float64.

    Of a recipe, a run or a model, the automatic gradients are those that one step of
    `fit` hands to the optimizer, over all replicas; the differences are of the loss of
    the whole batch on one device, computed without the step engine. Each variable and
    each input is moved along random directions, and by single elements. What is found
    wrong is then looked for half by half, and layer by layer.

    It shows that the gradient is that of the loss, at one point and for one batch. It
    does not show that the loss is the right one, and an error below a part of 1e-5 of a
    gradient passes. Where a gradient was changed on purpose (`tf.stop_gradient`,
    straight-through rounding) it says so as of an error.

    Args:
        target: A recipe's name, recipe or `Run`, or a run's folder; a compiled
            `keras.Model`; a `keras.layers.Layer` or `keras.Loss`; or a function of
            arrays, such as one with `tf.custom_gradient`. A function whose operations
            take complex numbers is differentiated by complex steps, to the last digit.
        *inputs: Of a model: x, y and sample weights of a batch. Of a layer, a loss or a
            function: its arguments. Floats are what it is differentiated by; of a loss,
            the predictions.
        config: Of a recipe; None: its defaults.
        layer: Checks one layer of a recipe, run or model: its variables, and the layer
            by itself.
        strategy: Of a recipe or a run: where a step is run beside one device.
        execution: How the step of `fit` is executed: `loop`, `one_program`, `split` or
            `compiled`. None: as the configuration says, `loop` where that is `auto`. On
            replicas it is `loop` or `compiled`.
        examples: In the batch of a recipe or a run.

    Returns:
        A report, which is true if nothing is wrong. `report.text()` is for people.

    Raises:
        RefusedError: If an argument is bad, or the loss differs from one computation to
            the next.

    Example:

    ```python
    report = ks.check_gradients("cnn")
    report = ks.check_gradients(model, x, y)
    report = ks.check_gradients(MyLayer(dtype="float64"), x)
    assert report, report.text()
    ```
    """
    if execution is not None and execution not in get_args(Kind):
        raise RefusedError(
            f"execution: expected {', '.join(get_args(Kind))}. Received: {execution!r}."
        )
    if isinstance(target, keras.Model):
        return _of_model(target, inputs, layer, execution)
    if isinstance(target, keras.layers.Layer | keras.Loss) or (
        inputs and callable(target)
    ):
        return functions.check(target, inputs)
    with subject.in_float64():
        found = subject.find(target, config, examples)
        return _of_subject(found, layer, strategy, execution)


def _of_subject(
    found: Subject,
    layer: str | None,
    strategy: tf.distribute.Strategy | None,
    execution: Kind | None,
) -> Report:
    """Of a recipe or a run."""
    notes = found.notes
    model = found.model()
    chosen = _layer_of(model, layer)
    ways = [("one device", model)]
    if strategy is not None and strategy.num_replicas_in_sync > 1:
        replicas = strategy.num_replicas_in_sync
        ways.append((f"{replicas} replicas", found.model(strategy)))
        # Their draws on replicas are others than those of one device.
        off = [rows.without_own_draws(each) for _, each in ways]
        notes = (*notes, *_notes(off[0]))
    kind = execution or getattr(found.config, "execution", "loop")
    kind = kind if kind in get_args(Kind) else "loop"
    return _report(found.name, ways, found.batch, chosen, kind, notes)


def _notes(off: Sequence[tuple[keras.layers.Layer, str, float]]) -> list[str]:
    """What was turned off."""
    names = ", ".join(dict.fromkeys(layer.name for layer, *_ in off))
    return [f"{names}: turned off, as replicas draw for themselves"] if names else []


def _of_model(
    model: keras.Model,
    inputs: Sequence[Any],
    layer: str | None,
    execution: Kind | None,
) -> Report:
    """Of a model of a user's own."""
    problems = []
    if not inputs or len(inputs) > 3:
        problems.append(
            "inputs: expected x, y and perhaps sample weights of a batch. Received: "
            f"{len(inputs)} of them"
        )
    if not model.compiled:
        problems.append(
            "model: expected a compiled one, which has a loss. Received: one that is "
            "not. Call model.compile(...)"
        )
    if isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
        problems.append(
            "model: expected one of one process. Received: one of several workers, "
            "each of which would have to be moved. Check it under a MirroredStrategy"
        )
    if problems:
        raise RefusedError(problems, heading="check_gradients")
    batch = tuple(tf.nest.map_structure(np.asarray, member) for member in inputs)
    scale_as_told(model)
    if not model.built:
        keras_private.call(model, batch[0], training=False)
    chosen = _layer_of(model, layer)
    state = [(v, v.numpy()) for v in model.variables]
    subject.move_away(model)
    replicas = model.distribute_strategy.num_replicas_in_sync
    where = "one device" if replicas == 1 else f"{replicas} replicas"
    off = rows.without_own_draws(model) if replicas > 1 else []
    kind = execution or "loop"
    try:
        ways = [(where, model)]
        return _report(model.name, ways, batch, chosen, kind, _notes(off))
    finally:
        for owner, name, rate in off:
            setattr(owner, name, rate)
        for variable, value in state:
            variable.assign(value)


def _report(
    name: str,
    ways: Sequence[tuple[str, keras.Model]],
    batch: tuple[Any, ...],
    layer: keras.layers.Layer | None,
    execution: Kind,
    notes: Sequence[str] = (),
) -> Report:
    _, reference = ways[0]
    if not reference.has_default_train_step:
        raise RefusedError(
            "check_gradients: expected a model with Keras' own training step, whose "
            f"loss is known. Received: {type(reference).__name__}, which overrides "
            "train_step. Put its loss into compute_loss()."
        )
    loss = BatchLoss(reference, batch)
    value = _repeatable(loss)
    check = rows.Check(loss, value, rows.precision_of(reference))
    owned = None if layer is None else {id(v) for v in layer.trainable_variables}
    variables = [
        (i, v)
        for i, v in enumerate(reference.trainable_variables)
        if owned is None or id(v) in owned
    ]
    check.plan(len(variables) * len(ways) + len(loss.inputs))
    found: list[Row] = []
    for where, model in ways:
        own = execution
        if model.distribute_strategy.num_replicas_in_sync > 1:  # Others join slices.
            own = "compiled" if execution == "compiled" else "loop"
        where = where if own == "loop" else f"{where}, {own}"
        say(f"check-gradients: {where}")
        gradients = recording.of_step(model, batch, own)
        found += [
            check.variable(variable, gradients[i], where) for i, variable in variables
        ]
    if layer is None:
        gradients_by_input = loss.input_gradients()
        found += [
            check.input(place, title, array, gradients_by_input[place])
            for place, title, array in loss.inputs
        ]
    guilty: list[str] = []
    if layer is not None or any(row.verdict == "wrong" for row in found):
        of_layers = alone.check(reference, batch[0], layer)
        guilty = [each.subject for each in of_layers if not each]
        if layer is not None:
            found += [row for each in of_layers for row in each.rows]
    return Report(name, tuple(found), value, tuple(notes), tuple(guilty))


def _repeatable(loss: BatchLoss) -> float:
    """The loss, which must be the same each time."""
    values = [loss() for _ in range(2)]
    if values[0] != values[1] and not np.allclose(*values, rtol=1e-13, atol=0):
        raise RefusedError(
            "check_gradients: expected a loss that is a function of the weights. "
            f"Received: {values[0]!r}, then {values[1]!r}, of the same batch. Draw "
            "with a keras.random.SeedGenerator that is an attribute of its layer."
        )
    return values[0]


def _layer_of(model: keras.Model, name: str | None) -> keras.layers.Layer | None:
    if name is None:
        return None
    layers = [each for each in keras_private.all_layers(model) if each is not model]
    found = [each for each in layers if name in (each.name, each.path)]
    if not found:
        names = list(dict.fromkeys(each.name for each in layers))
        raise RefusedError(
            f"layer: {model.name} has no layer of the name {name!r}."
            f"{nearest(name, names)} There are: {', '.join(names)}."
        )
    return found[0]
