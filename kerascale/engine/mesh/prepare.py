"""Makes a model ready for its mesh: builds it, and cuts what it has."""

from typing import Any

import keras
import numpy as np

from kerascale.datasets import nests
from kerascale.engine.compat import keras_private
from kerascale.engine.mesh import placement, preconditions
from kerascale.engine.mesh.placement import Places
from kerascale.engine.mesh.program import Execution, Prediction
from kerascale.engine.mesh.remat import compiler_options, refuse_without_blocks
from kerascale.engine.mesh.step import Step
from kerascale.strategies import model_parallel
from kerascale.strategies.model_parallel import Remat

# An attribute of a model.
_PREPARED = "_kerascale_mesh"


class Prepared:
    """A model on its mesh.

    Args:
        model: Built; compiled, if it is trained or evaluated.
        places: Where its variables lie.
        remat: What a training step computes again.
    """

    def __init__(
        self, model: keras.Model, places: Places, remat: Remat = "none"
    ) -> None:
        self.places = places
        self.key = key_of(model)
        step = Step(model, places, remat)
        self.train = Execution(step, step.train, compiler_options(remat))
        self.test = Execution(step, step.test)
        self.predict = Prediction(step)


def key_of(model: keras.Model) -> tuple[Any, ...]:
    """What programs were made for: the compilation, and all variables."""
    optimizer = getattr(model, "optimizer", None)
    groups = [model.variables, [] if optimizer is None else optimizer.variables]
    trainable = tuple(id(v) for v in model.trainable_variables)
    own = tuple(id(v) for group in groups for v in group)
    return (keras_private.compilation(model), own, trainable)


def place(model: keras.Model) -> Places:
    """Cuts the variables of a built model, and what there is of its optimizer.

    Raises:
        RefusedError: Naming all that is wrong with the layout, or if it lacks what is
            to be computed again.
    """
    strategy = model_parallel.current()
    refuse_without_blocks(model, strategy.remat)
    places = placement.place_model(model, strategy)
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built:
        # Keras lays what it makes for a variable as that lies.
        with strategy.scope():
            optimizer.build(model.trainable_variables)
    placement.place_rest(model, places)
    return places


def prepare(model: keras.Model, batch: Any) -> Prepared:
    """A model that is ready for steps; the same again, where nothing has changed.

    Args:
        model: Compiled, or only built for a prediction.
        batch: A batch, or its spec: (x,), (x, y) or (x, y, sample_weight).

    Raises:
        RefusedError: Naming all that it cannot be trained for.
    """
    known = vars(model).get(_PREPARED)
    if known is not None and known.key == key_of(model):
        return known
    preconditions.refuse(model)
    with model_parallel.current().scope():
        if model.built:
            placement.place_model(model, model_parallel.current())
        _build(model, batch)
    places = place(model)
    vars(model)[_PREPARED] = prepared = Prepared(
        model, places, model_parallel.current().remat
    )
    return prepared


def forget(model: keras.Model) -> None:
    """Programs of a model are made anew: its schedule is another, say."""
    vars(model).pop(_PREPARED, None)


def _build(model: keras.Model, batch: Any) -> None:
    """Builds what is not built: layers, losses, metrics and the optimizer."""
    if model.compiled and not keras_private.is_built(
        model, type(model).default_compute_loss
    ):
        keras_private.build(model, nests.map_present(_symbol, batch))
    elif not model.built:
        model.build(_symbol(keras.tree.flatten(batch)[0]).shape)


def _symbol(spec: Any) -> keras.KerasTensor:
    spec = spec if hasattr(spec, "dtype") else np.asarray(spec)
    shape = tuple(spec.shape)
    return keras.KerasTensor(
        (None, *shape[1:]), keras.backend.standardize_dtype(spec.dtype)
    )
