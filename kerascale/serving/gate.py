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
from typing import Any

import numpy as np

from kerascale.errors import ExportRefusedError

TOLERANCE = 1e-5
_SCRIPT = pathlib.Path(__file__).with_name("loader_process.py")
_SECONDS = 1800
_LAST_LINES = 6

# A signature, and its inputs by name.
Call = tuple[str, dict[str, np.ndarray]]


class LoaderProcess:
    """Another process, in which a version is loaded as a server would load it."""

    def __init__(self, process: subprocess.Popen, folder: pathlib.Path) -> None:
        self._process = process
        self._folder = folder

    def ask(
        self, path: pathlib.Path, calls: Sequence[Call]
    ) -> tuple[Any, list[dict[str, np.ndarray]]]:
        """The outputs by name for each call. It can be asked once.

        Args:
            path: The SavedModel's folder, or the file of another format.
            calls: The questions.

        Returns:
            The inputs and outputs that the file says it has, None for a SavedModel;
            and the answers.

        Raises:
            ExportRefusedError: If it cannot be loaded, or does not answer.
        """
        questions, answers = self._folder / "questions", self._folder / "answers"
        asked = [
            [signature, {name: _encode(array) for name, array in inputs.items()}]
            for signature, inputs in calls
        ]
        content = {"path": os.path.abspath(path), "calls": asked}
        questions.write_text(json.dumps(content), encoding="utf-8")
        line = json.dumps([str(questions), str(answers)]) + "\n"
        try:
            _, errors = self._process.communicate(line, timeout=_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise ExportRefusedError(
                f"expected answers within {_SECONDS} s. Received: none"
            ) from error
        if self._process.returncode:
            lines = [line for line in errors.splitlines() if line.strip()]
            raise ExportRefusedError(
                "expected a model that loads and answers without Keras. Received "
                "from the process that tried:\n" + "\n".join(lines[-_LAST_LINES:])
            )
        content = json.loads(answers.read_text(encoding="utf-8"))
        return content["tensors"], [
            {name: _decode(text) for name, text in outputs.items()}
            for outputs in content["answers"]
        ]


@contextlib.contextmanager
def loader_process(kind: str = "saved_model") -> Iterator[LoaderProcess]:
    """Starts the process, which imports its library while something else is done.

    Args:
        kind: The format: see `formats`.
    """
    # It takes no part in the training's cluster, and leaves the GPUs to whoever holds
    # all of their memory.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    environment["CUDA_VISIBLE_DEVICES"] = "-1"
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with tempfile.TemporaryDirectory(prefix="kerascale-export-") as folder:
        process = subprocess.Popen(
            # -P: the modules beside the script are not to be imported by their names.
            [sys.executable, "-P", str(_SCRIPT), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        try:
            yield LoaderProcess(process, pathlib.Path(folder))
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


def _encode(array: np.ndarray) -> dict[str, Any]:
    shape = list(array.shape)
    if array.dtype.kind == "O":
        texts = [t.encode() if isinstance(t, str) else t for t in array.ravel()]
        return {"strings": [_base64(text) for text in texts], "shape": shape}
    # bfloat16 is known by its name.
    dtype = array.dtype.name if array.dtype.kind == "V" else array.dtype.str
    return {"data": _base64(array.tobytes()), "dtype": dtype, "shape": shape}


def _decode(content: dict[str, Any]) -> np.ndarray:
    if "strings" in content:
        texts = [base64.b64decode(text) for text in content["strings"]]
        return np.array([*texts, None], dtype=object)[:-1].reshape(content["shape"])
    data = np.frombuffer(base64.b64decode(content["data"]), content["dtype"])
    return data.reshape(content["shape"])


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
