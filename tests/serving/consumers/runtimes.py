"""Asks models in runtimes of other makes, in an environment without TensorFlow."""

import pathlib
import sys

import numpy as np
import onnxruntime
import openvino
from ai_edge_litert.interpreter import Interpreter


def ask_openvino(folder, inputs):
    model = openvino.convert_model(folder / "saved_model")
    # In full precision: on some processors OpenVINO would take bfloat16.
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.compile_model(model, "CPU", settings)(inputs)["probabilities"]


def ask_onnx(folder, inputs):
    session = onnxruntime.InferenceSession(folder / "onnx" / "1" / "model.onnx")
    return session.run(["probabilities"], inputs)[0]


def ask_litert(folder, inputs):
    model = Interpreter(model_path=str(folder / "litert" / "1" / "model.tflite"))
    return model.get_signature_runner("serving_default")(**inputs)["probabilities"]


for folder in map(pathlib.Path, sys.argv[1:]):
    with np.load(folder / "inputs.npz") as content:
        inputs = {name: content[name] for name in content.files}
    for ask in (ask_openvino, ask_onnx, ask_litert):
        name = ask.__name__.removeprefix("ask_")
        if not (folder / f"{name}.error").exists():
            try:
                np.save(folder / f"{name}.npy", ask(folder, inputs))
            except Exception as error:
                (folder / f"{name}.error").write_text(str(error))
assert "tensorflow" not in sys.modules
