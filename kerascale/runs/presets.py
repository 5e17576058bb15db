"""Preset folders of KerasHub, as `backbone.save_to_preset` writes them."""

import json
import pathlib
import zipfile
from typing import Any

import keras
import numpy as np

from kerascale.errors import RefusedError, first_line
from kerascale.models.fine_tuning import ChannelAffine

_CONFIG, _CONVERTER = "config.json", "image_converter.json"
_PACKAGE = "keras_hub"
_CHANNELS = 3


def is_preset(path: pathlib.Path) -> bool:
    """Whether a folder is a preset: a run has a configuration of the same name."""
    try:
        found = json.loads((path / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and f"{_PACKAGE}>" in str(
        found.get("registered_name", "")
    )


def load(path: pathlib.Path) -> tuple[keras.Model, keras.layers.Layer | None]:
    """The backbone of a preset, and what it wants done to pixels from 0 to 255.

    Raises:
        RefusedError: If KerasHub is not installed, cannot read the folder, or the
            backbone takes something else than color images.
    """
    hub = _keras_hub(f"backbone {path}")
    try:
        found = hub.models.Backbone.from_preset(str(path))
    except Exception as error:  # Whatever is wrong with files of others.
        raise RefusedError(
            f"backbone: expected a preset folder that KerasHub can read. Received: "
            f"{path} ({first_line(error)})."
        ) from error
    inputs, outputs = found.inputs, found.outputs
    is_of_images = len(inputs) == 1 and len(inputs[0].shape) == 4
    if not is_of_images or inputs[0].shape[-1] != _CHANNELS or len(outputs) != 1:
        shapes = [tuple(each.shape) for each in inputs]
        raise RefusedError(
            "backbone: expected a preset that takes color images of shape (batch, "
            f"height, width, 3). Received: {path}, {type(found).__name__}, which takes "
            f"{shapes}."
        )
    # Of its layers alone: what is trained can be loaded without KerasHub, unless it has
    # layers of its own.
    model = keras.Model(inputs[0], outputs[0], name="backbone")
    return model, _preprocessing(path, hub)


def import_for(file: pathlib.Path) -> None:
    """Registers KerasHub's classes if a `.keras` file is made of them.

    Raises:
        RefusedError: If it is not installed.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            is_needed = f"{_PACKAGE}>".encode() in archive.read(_CONFIG)
    except (OSError, KeyError, zipfile.BadZipFile):
        return  # It is told where the model is loaded.
    if is_needed:
        _keras_hub(str(file))


def _keras_hub(what: str) -> Any:
    try:
        import keras_hub
    except ImportError as error:
        raise RefusedError(
            f"{what}: expected the package of KerasHub, of which it is made. Received: "
            f"none ({first_line(error)}). Run: pip install 'kerascale[hub]'"
        ) from error
    return keras_hub


def _preprocessing(path: pathlib.Path, hub: Any) -> keras.layers.Layer | None:
    if not (path / _CONVERTER).is_file():
        return None
    converter = hub.layers.ImageConverter.from_preset(str(path))
    scale = np.ones(_CHANNELS) if converter.scale is None else converter.scale
    offset = np.zeros(_CHANNELS) if converter.offset is None else converter.offset
    scale = np.broadcast_to(np.asarray(scale, np.float64), (_CHANNELS,))
    offset = np.broadcast_to(np.asarray(offset, np.float64), (_CHANNELS,))
    return ChannelAffine(np.diag(scale), offset, name="preprocessing")
