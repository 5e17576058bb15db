"""What cannot be trained on a mesh is refused before the first step."""

import keras

from kerascale.engine.compat import keras_private
from kerascale.errors import RefusedError


def refuse(model: keras.Model) -> None:
    """Refuses a model whose step is another than Keras' own, or is TensorFlow's.

    Raises:
        RefusedError: Naming every problem.
    """
    problems = []
    if not model.has_default_train_step:
        problems.append(
            f"train_step: expected Keras' own. Received: {type(model).__name__}'s, "
            "which is for the TensorFlow backend. Put what it does into compute_loss, "
            "or train with --strategy mirrored"
        )
    if model.run_eagerly:
        problems.append(
            "run_eagerly: expected False: steps are a program over all devices. "
            "Received: True. Leave it out, or use one device"
        )
    optimizer = getattr(model, "optimizer", None)
    inner = None if optimizer is None else keras_private.innermost(optimizer)
    if isinstance(inner, keras.optimizers.MultiOptimizer):
        problems.append(
            "optimizer: expected one. Received: a MultiOptimizer. Use one optimizer, "
            "or another strategy"
        )
    others = keras_private.optimizers_of(model)
    if others:
        problems.append(
            f"optimizer: expected one. Received: {len(others)} more in attributes of "
            f"{type(model).__name__}. Use another strategy"
        )
    stateful = [
        layer.name
        for layer in keras_private.all_layers(model)
        if getattr(layer, "stateful", False)
    ]
    if stateful:
        problems.append(
            f"{', '.join(stateful)}: expected no state that is kept from batch to "
            "batch. Received: stateful=True. Leave it out"
        )
    if problems:
        raise RefusedError(problems, heading=f"{type(model).__name__} on a mesh")


def refuse_undivided_batch(rows: int | None, parts: int) -> None:
    """Refuses to train on batches that the axis `data` does not divide.

    The last one of an epoch may have any size: every device computes it whole.

    Args:
        rows: Of a global batch; None: that is not known.
        parts: Devices along the axis.

    Raises:
        RefusedError: If they are not the same number on each device.
    """
    if rows is not None and rows % parts:
        below, above = rows // parts * parts, -(-rows // parts) * parts
        near = f"{below} or {above}" if below else f"{above}"
        raise RefusedError(
            f"batch size: expected a multiple of {parts}, the devices along the axis "
            f"data. Received: a global batch of {rows}. Use {near}, or a mesh whose "
            "axis data divides it."
        )
