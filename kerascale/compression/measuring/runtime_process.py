"""Answers, and is timed, in a process with a model's runtime and nothing else.

It is run by its path: neither Keras nor kerascale can be imported in it, nor TensorFlow
unless that is the runtime. Each line of standard input is a request in JSON, each
line of standard output its reply. Arrays are files.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Batch = dict[str, np.ndarray]
# Inputs by name -> the one output.
Ask = Callable[[Batch], np.ndarray]
# A batch of the shapes that will be asked -> what answers them.
Model = Callable[[Batch], Ask]


def main() -> None:
    runtime, threads = sys.argv[1], int(sys.argv[2])
    blocked = [
        "keras",
        "kerascale",
        *(["tensorflow"] if runtime != "tensorflow" else []),
    ]
    for name in blocked:
        sys.modules[name] = None
    # Whatever the runtime prints is no reply.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    loader = {"litert": _litert, "onnx": _onnx, "tensorflow": _tensorflow}[runtime]
    load = loader(threads)
    models: dict[str, Model] = {}
    before = _peak_bytes()
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "load":
            models[request["name"]] = load(request["path"], request["signature"])
            reply: dict[str, Any] = {}
        elif request["do"] == "answer":
            _answer(models[request["name"]], request)
            peak = _peak_bytes()
            reply = {"peak_bytes": peak, "own_bytes": max(0, peak - before)}
        else:
            reply = {"seconds": _time(models[request["name"]], request)}
        found = [name for name in sys.modules if name.startswith("keras.src")]
        if found:
            raise ImportError(f"expected no Keras. Received: {found[0]}")
        print(json.dumps(reply), file=replies, flush=True)


def _answer(model: Model, request: dict[str, Any]) -> None:
    """Writes what is predicted for each label, and how sure of it the model is."""
    inputs = {name: np.load(path, "r") for name, path in request["inputs"].items()}
    labels = np.load(request["labels"], "r")
    size = request["batch"]
    parts: dict[str, list[np.ndarray]] = {"predicted": [], "given": [], "highest": []}
    asks: dict[int, Ask] = {}
    for first in range(0, len(labels), size):
        batch = {
            n: np.array(array[first : first + size]) for n, array in inputs.items()
        }
        count = len(labels[first : first + size])
        if count not in asks:
            asks[count] = model(batch)
        outputs = np.asarray(asks[count](batch), np.float32)
        if labels.dtype.kind == "f":  # Numbers are answered, and no classes.
            for each in parts.values():
                each.append(outputs)
            continue
        truth = np.asarray(labels[first : first + size])[..., None]
        parts["predicted"].append(outputs.argmax(axis=-1).astype(np.int32))
        parts["given"].append(np.take_along_axis(outputs, truth, axis=-1)[..., 0])
        parts["highest"].append(outputs.max(axis=-1))
    np.savez(
        request["output"], **{n: np.concatenate(each) for n, each in parts.items()}
    )


def _time(model: Model, request: dict[str, Any]) -> list[float]:
    """Seconds of single calls with one batch, its first ones left out."""
    size, number = request["batch"], request["number"]
    batch = {n: np.load(p, "r") for n, p in request["inputs"].items()}
    batch = {n: np.resize(a[:size], (size, *a.shape[1:])) for n, a in batch.items()}
    ask = model(batch)
    for _ in range(request["warm_up"]):
        ask(batch)
    seconds = []
    for _ in range(number):
        began = time.perf_counter()
        ask(batch)
        seconds.append(time.perf_counter() - began)
    return seconds


def _peak_bytes() -> int:
    """The most memory that this process had at once.

    Not `ru_maxrss`: that begins with what the parent had when it started this one.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            (line,) = (line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _litert(threads: int) -> Callable[[str, str], Model]:
    from ai_edge_litert.interpreter import Interpreter

    def load(path: str, signature: str) -> Model:
        made: dict[tuple, Ask] = {}

        def for_batch(batch: Batch) -> Ask:
            shapes = tuple(array.shape for array in batch.values())
            if shapes in made:
                return made[shapes]
            interpreter = Interpreter(model_path=path, num_threads=threads)
            # By the signature: the model's own order of inputs is not that of clients.
            names = interpreter.get_signature_list()[signature]
            details = interpreter.get_signature_runner(signature).get_input_details()
            places = {name: details[name]["index"] for name in names["inputs"]}
            for name, place in places.items():
                # Its own shape has 1 wherever an axis is free.
                interpreter.resize_tensor_input(place, batch[name].shape)
            interpreter.allocate_tensors()
            output = interpreter.get_output_details()[0]["index"]

            def ask(inputs: dict[str, np.ndarray]) -> np.ndarray:
                for name, array in inputs.items():
                    interpreter.set_tensor(places[name], array)
                interpreter.invoke()
                return interpreter.get_tensor(output)

            made[shapes] = ask
            return ask

        return for_batch

    return load


def _onnx(threads: int) -> Callable[[str, str], Model]:
    import onnxruntime

    def load(path: str, signature: str) -> Model:
        del signature  # It has one.
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        return lambda batch: lambda inputs: session.run(None, inputs)[0]

    return load


def _tensorflow(threads: int) -> Callable[[str, str], Model]:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    def load(path: str, signature: str) -> Model:
        loaded = tf.saved_model.load(path)
        function = loaded.signatures[signature]

        def ask(inputs: dict[str, np.ndarray]) -> np.ndarray:
            tensors = {name: tf.constant(array) for name, array in inputs.items()}
            (output,) = function(**tensors).values()
            return output.numpy()

        ask.model = loaded  # It lives as long as its functions are called.
        return lambda batch: ask

    return load


if __name__ == "__main__":
    main()
