"""Models to fine-tune: a run's, a `.keras` file, a preset, or `keras.applications`'."""

import dataclasses
import inspect
import pathlib
from typing import Any

import keras
import numpy as np

from kerascale.config.fields import nearest
from kerascale.errors import RefusedError, first_line
from kerascale.models.classifier import Classifier
from kerascale.models.fine_tuning import ChannelAffine, Features
from kerascale.runs import files, layout, presets

_EXPECTED = (
    "backbone: expected the name of a model of keras.applications, a run folder, a "
    "preset folder of KerasHub, or a .keras file."
)


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A model that gives features.

    Args:
        model: Takes what `preprocessing` gives.
        preprocessing: The backbone's own; None: it is in the model, or there is none.
        channels: Of images that it takes; None: whatever it was trained on.
        input_shape: Of an example that it takes; None: any.
    """

    model: keras.layers.Layer
    preprocessing: keras.layers.Layer | None = None
    channels: int | None = None
    input_shape: tuple[int | None, ...] | None = None


def load_backbone(
    source: str, *, weights: str | None = None, input_shape: tuple[int | None, ...]
) -> Backbone:
    """A pretrained model without its head.

    Args:
        source: A name of `keras.applications`, such as `MobileNetV2`; the folder of a
            run, or a preset of KerasHub; or a `.keras` file, of which nothing is loaded
            that could run code.
        weights: Of a model of `keras.applications`: `imagenet`, which Keras downloads
            unless it has them, or None for random ones.
        input_shape: Of an example that it will be given.

    Raises:
        RefusedError: If it cannot be had, or takes other inputs.
    """
    path = pathlib.Path(source)
    if path.exists():
        if weights is not None:
            raise RefusedError(
                "weights: expected only with a model of keras.applications. Received: "
                f"{weights!r} with {source}, which has its own. Leave it out."
            )
        found = _of_preset(path) if presets.is_preset(path) else _of_file(path)
        return _fitting(found, input_shape, source)
    if source.endswith(".keras") or "/" in source:
        raise RefusedError(f"{_EXPECTED} Received: {source!r}, which is not there.")
    return _of_applications(source, weights, input_shape)


def _of_preset(path: pathlib.Path) -> Backbone:
    model, preprocessing = presets.load(path)
    return Backbone(model, preprocessing, input_shape=tuple(model.input_shape[1:]))


def _of_file(path: pathlib.Path) -> Backbone:
    file = path / layout.MODEL if path.is_dir() else path
    model = files.load_model(file)
    if isinstance(model, Classifier):
        shape = tuple(model.input_spec.shape)
        # As it is without what it was compiled with: its metrics would be the whole's.
        bare = type(model).from_config(model.get_config())
        bare.build(shape)
        bare.set_weights(model.get_weights())
        return Backbone(Features(bare, name="features"), input_shape=shape[1:])
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise RefusedError(
            "backbone: expected a functional or sequential model, or one of "
            f"kerascale.models. Received: {path}, a {type(model).__name__}, whose "
            "last layer cannot be told."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise RefusedError(
            "backbone: expected a model with one input and one output. Received: "
            f"{path}, with {len(model.inputs)} and {len(model.outputs)}."
        )
    features = model.outputs[0]
    heads = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    if len(features.shape) == 2 and heads:
        features = heads[-1].input
    cut = keras.Model(model.inputs, features, name="backbone")
    return Backbone(cut, input_shape=tuple(model.input_shape[1:]))


def _fitting(
    backbone: Backbone, given: tuple[int | None, ...], source: str
) -> Backbone:
    """The backbone, if it takes inputs of a shape."""
    wanted = backbone.input_shape
    is_gray = len(given) == 3 and given[-1] == 1 and wanted[-1:] == (3,)
    seen = (*given[:-1], 3) if is_gray else given
    fits = len(wanted) == len(seen) and all(
        size is None or size == other for size, other in zip(wanted, seen, strict=True)
    )
    if not fits:
        raise RefusedError(
            f"backbone: expected examples of shape {tuple(wanted)}, as {source} takes "
            f"them. Received: {tuple(given)}. Resize images with --image-size."
        )
    return dataclasses.replace(backbone, channels=3 if is_gray else None)


def _of_applications(
    name: str, weights: str | None, input_shape: tuple[int | None, ...]
) -> Backbone:
    modules = {
        found: module
        for _, module in inspect.getmembers(keras.applications, inspect.ismodule)
        if hasattr(module, "preprocess_input")
        for found, function in inspect.getmembers(module, inspect.isfunction)
        if found[0].isupper() and hasattr(keras.applications, found)
    }
    if name not in modules:
        raise RefusedError(
            f"{_EXPECTED} Received: {name!r}.{nearest(name, modules)} Models: "
            f"{', '.join(sorted(modules))}."
        )
    if len(input_shape) != 3 or input_shape[-1] not in (1, 3):
        raise RefusedError(
            "backbone: expected gray or color images for a model of "
            f"keras.applications. Received: examples of shape {tuple(input_shape)}."
        )
    try:
        model = getattr(keras.applications, name)(
            include_top=False, weights=weights, input_shape=(*input_shape[:2], 3)
        )
    except ValueError as error:  # Images that are too small, say.
        raise RefusedError(f"backbone {name}: {first_line(error)}") from error
    except Exception as error:  # Whatever a download ends with.
        raise RefusedError(
            f"weights: expected {weights!r} of {name} in Keras' cache folder, or a "
            f"network to get it from. Received: neither ({first_line(error)}). Fetch "
            "it on a host with a network, and copy ~/.keras/models."
        ) from error
    model.name = "backbone"
    return Backbone(model, _preprocessing(modules[name]), channels=3)


def _preprocessing(module: Any) -> keras.layers.Layer | None:
    """What a module does to pixels, which is a matrix and an offset in all of them."""

    def of(pixel: list[float]) -> np.ndarray:
        image = np.array(pixel, np.float32).reshape(1, 1, 1, 3)
        return np.asarray(module.preprocess_input(image, data_format="channels_last"))[
            0, 0, 0
        ].astype(np.float64)

    offset = of([0.0, 0.0, 0.0])
    matrix = np.stack([(of(row) - offset) / 255.0 for row in np.eye(3) * 255.0])
    if np.allclose(matrix, np.eye(3)) and np.allclose(offset, 0):
        return None
    return ChannelAffine(matrix, offset, name="preprocessing")
