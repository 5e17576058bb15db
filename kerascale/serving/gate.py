"""Nothing is served that answers otherwise than what was trained."""

import base64
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from kerascale.errors import ExportRefusedError

TOLERANCE = 1e-5
_SCRIPT = pathlib.Path(__file__).with_name("answer.py")
_SECONDS = 1800
_LAST_LINES = 6

# A signature, and its inputs by name.
Call = tuple[str, dict[str, np.ndarray]]


class Consumer:
    """Another process, in which a SavedModel is loaded as a server would load it."""

    def __init__(self, process: subprocess.Popen, folder: pathlib.Path) -> None:
        self._process = process
        self._folder = folder

    def answers(
        self, saved_model: pathlib.Path, calls: Sequence[Call]
    ) -> list[dict[str, np.ndarray]]:
        """The outputs by name for each call. It can be asked once.

        Raises:
            ExportRefusedError: If it cannot be loaded, or does not answer.
        """
        questions, answers = self._folder / "questions", self._folder / "answers"
        asked = [
            [signature, {name: _encode(array) for name, array in inputs.items()}]
            for signature, inputs in calls
        ]
        content = {"path": os.path.abspath(saved_model), "calls": asked}
        questions.write_text(json.dumps(content), encoding="utf-8")
        line = json.dumps([str(questions), str(answers)]) + "\n"
        _, errors = self._process.communicate(line, timeout=_SECONDS)
        if self._process.returncode:
            lines = [line for line in errors.splitlines() if line.strip()]
            raise ExportRefusedError(
                "expected a SavedModel that loads and answers without Keras. Received "
                "from the process that tried:\n" + "\n".join(lines[-_LAST_LINES:])
            )
        return [
            {name: _decode(text) for name, text in outputs.items()}
            for outputs in json.loads(answers.read_text(encoding="utf-8"))
        ]


@contextlib.contextmanager
def consumer() -> Iterator[Consumer]:
    """Starts the process, which imports TensorFlow while something else is done."""
    # It takes no part in the training's cluster, and leaves the GPUs to whoever holds
    # all of their memory.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    environment["CUDA_VISIBLE_DEVICES"] = "-1"
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with tempfile.TemporaryDirectory(prefix="kerascale-export-") as folder:
        process = subprocess.Popen(
            # -P: the modules beside the script are not to be imported by their names.
            [sys.executable, "-P", str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        try:
            yield Consumer(process, pathlib.Path(folder))
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stderr):
                with contextlib.suppress(OSError):
                    stream.close()


def compare(
    calls: Sequence[Call],
    expected: Sequence[dict[str, np.ndarray]],
    answers: Sequence[dict[str, np.ndarray]],
) -> None:
    """Compares what a SavedModel answers with what the trained model does.

    Raises:
        ExportRefusedError: Naming the outputs that differ.
    """
    problems = []
    for (signature, inputs), want, got in zip(calls, expected, answers, strict=True):
        shapes = {name: array.shape for name, array in inputs.items()}
        where = f"signature {signature}, inputs of shapes {shapes}"
        if sorted(want) != sorted(got):
            problems.append(
                f"{where}: expected the outputs {sorted(want)}. Received: {sorted(got)}"
            )
            continue
        problems += [
            f"{where}: {name}: {difference}"
            for name in want
            if (difference := _difference(want[name], got[name]))
        ]
    if problems:
        raise ExportRefusedError(
            ["The exported model does not answer as the trained one", *problems]
        )


def _difference(want: np.ndarray, got: np.ndarray) -> str:
    if want.shape != got.shape or want.dtype != got.dtype:
        return (
            f"expected {want.dtype} of shape {want.shape}. Received: {got.dtype} of "
            f"shape {got.shape}"
        )
    if want.dtype.kind in "biuOSU":
        count = int(np.sum(want != got))
        return f"{count} of {want.size} values differ" if count else ""
    want, got = want.astype(np.float64), got.astype(np.float64)
    # Probabilities within 1e-5; what is larger than 1, within that share of it.
    limit = TOLERANCE * max(1.0, np.abs(want).max(initial=0.0))
    largest = float(np.abs(want - got).max(initial=0.0))
    if largest <= limit:
        return ""
    return f"expected values within {limit:g}. Received: a difference of {largest:g}"


def _encode(array: np.ndarray) -> str:
    return base64.b64encode(tf.make_tensor_proto(array).SerializeToString()).decode()


def _decode(text: str) -> np.ndarray:
    proto = tensor_pb2.TensorProto.FromString(base64.b64decode(text))
    return tf.make_ndarray(proto)
