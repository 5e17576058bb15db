"""Answers questions with an exported model, in a process without Keras and kerascale.

It is run by its path, and imports no more than a server of that format would. A line
of standard input names a file of questions, which is JSON: the format, the model's
file or folder, and for each question a signature and its inputs by name. The answers go
into another file, with the inputs and outputs that the model says it has.
"""

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

# Signature and inputs -> outputs.
Model = Callable[[str, dict[str, np.ndarray]], dict[str, np.ndarray]]


def main() -> None:
    # First of all: whatever the model might still need of them is missing now.
    sys.modules["keras"] = sys.modules["kerascale"] = None
    kind = sys.argv[1]
    # Whoever asks is not done yet; meanwhile the import is.
    loader = {"saved_model": _saved_model, "onnx": _onnx, "litert": _litert}[kind]()
    questions_file, answers_file = json.loads(sys.stdin.readline())
    with open(questions_file, encoding="utf-8") as file:
        questions = json.load(file)
    model, tensors = loader(questions["path"])
    answers = []
    for signature, inputs in questions["calls"]:
        arrays = {name: _array(content) for name, content in inputs.items()}
        outputs = model(signature, arrays)
        answers.append({name: _content(array) for name, array in outputs.items()})
    found = [name for name in sys.modules if name.startswith("keras.src")]
    if found:
        raise ImportError(f"expected no Keras. Received: {found[0]}")
    with open(answers_file, "w", encoding="utf-8") as file:
        json.dump({"tensors": tensors, "answers": answers}, file)


def _saved_model() -> Callable[[str], tuple[Model, Any]]:
    import tensorflow as tf

    def load(path: str) -> tuple[Model, Any]:
        loaded = tf.saved_model.load(path)

        def ask(signature: str, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
            tensors = {name: tf.constant(array) for name, array in inputs.items()}
            outputs = loaded.signatures[signature](**tensors)
            return {name: tensor.numpy() for name, tensor in outputs.items()}

        return ask, None  # Its graph says what it has.

    return load


def _onnx() -> Callable[[str], tuple[Model, Any]]:
    import onnxruntime

    types = {"tensor(float)": "float32", "tensor(double)": "float64"}

    def describe(value: Any) -> dict[str, Any]:
        sizes = [size if isinstance(size, int) else None for size in value.shape]
        short = value.type.removeprefix("tensor(").removesuffix(")")
        return {"dtype": types.get(value.type, short), "shape": sizes}

    def load(path: str) -> tuple[Model, Any]:
        session = onnxruntime.InferenceSession(path)
        names = [output.name for output in session.get_outputs()]

        def ask(_: str, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
            return dict(zip(names, session.run(names, inputs), strict=True))

        return ask, {
            "inputs": {v.name: describe(v) for v in session.get_inputs()},
            "outputs": {v.name: describe(v) for v in session.get_outputs()},
        }

    return load


def _litert() -> Callable[[str], tuple[Model, Any]]:
    from ai_edge_litert.interpreter import Interpreter

    def describe(value: dict[str, Any]) -> dict[str, Any]:
        sizes = value.get("shape_signature", value["shape"])
        shape = [int(size) if size >= 0 else None for size in sizes]
        return {"dtype": np.dtype(value["dtype"]).name, "shape": shape}

    def load(path: str) -> tuple[Model, Any]:
        interpreter = Interpreter(model_path=path)

        def ask(signature: str, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
            return interpreter.get_signature_runner(signature)(**inputs)

        runner = interpreter.get_signature_runner("serving_default")
        sides = {
            "inputs": runner.get_input_details(),
            "outputs": runner.get_output_details(),
        }
        return ask, {
            side: {name: describe(value) for name, value in values.items()}
            for side, values in sides.items()
        }

    return load


def _array(content: dict[str, Any]) -> np.ndarray:
    if "strings" in content:
        texts = [base64.b64decode(text) for text in content["strings"]]
        array = np.array([*texts, None], dtype=object)[:-1]
        return array.reshape(content["shape"])
    data = np.frombuffer(base64.b64decode(content["data"]), content["dtype"])
    return data.reshape(content["shape"])


def _content(array: Any) -> dict[str, Any]:
    array = np.asarray(array)
    shape = list(array.shape)
    if array.dtype.kind == "O":
        texts = [base64.b64encode(text).decode() for text in array.ravel().tolist()]
        return {"strings": texts, "shape": shape}
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    # bfloat16 is known by its name, wherever TensorFlow was imported.
    dtype = array.dtype.name if array.dtype.kind == "V" else array.dtype.str
    return {"data": data, "dtype": dtype, "shape": shape}


if __name__ == "__main__":
    main()
