"""Exports models in other formats, where their converters are installed."""

import pathlib
import sys

import keras
import numpy as np

import kerascale as ks
import kerascale.models
from kerascale import serving

for folder in map(pathlib.Path, sys.argv[1:]):
    model = keras.saving.load_model(folder / "model.keras")
    with np.load(folder / "inputs.npz") as inputs:
        (x,) = (inputs[name] for name in inputs.files)
    for name in ("onnx", "litert"):
        try:
            serving.export_converted(model, folder / name, format=name, inputs=x)
        except (RuntimeError, ks.RefusedError) as error:
            (folder / f"{name}.error").write_text(str(error))
