"""SHAP values (Lundberg and Lee, "A Unified Approach to Interpreting Model
Predictions", 2017) by the library `shap`, in a process of its own.

The library's deep explainers change TensorFlow's table of gradients, and leave it
changed after an error. Its permutation explainer asks for answers alone; the model
stays here, and TensorFlow is not even loaded there.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
from types import TracebackType

import numpy as np

from kerascale.trust.explanation import arrays
from kerascale.trust.explanation.subject import Subject

# Orders in which the parts are tried, forth and back.
_ORDERS = 4


class ShapProcess:
    """The process, which is started at once: the library takes seconds to load."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile()
        # Whatever way this process has found the package.
        root = str(pathlib.Path(__file__).parents[3])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kerascale.trust.explanation.shapley_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            # Compiling its loops takes numba five seconds, running them as Python 0.1.
            env={**os.environ, "PYTHONPATH": paths, "NUMBA_DISABLE_JIT": "1"},
        )

    def __enter__(self) -> "ShapProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        if kind is not None:
            self._process.kill()
        self._process.wait()
        self._errors.close()

    def values(self, subject: Subject, *, seed: int) -> np.ndarray:
        """SHAP values of each part, where what is taken away is the baseline's.

        The values of an example sum up to its number less that of the baseline.

        Args:
            subject: The examples.
            seed: Of the orders in which parts are tried.

        Returns:
            Of shape (examples, parts).

        Raises:
            RuntimeError: If the process ended.
        """
        coarse = np.zeros((len(subject), subject.coarse.count))
        for place in range(len(subject)):
            there = self._there(subject, place)
            coarse[place, there] = self._one(subject, place, there, seed)
        return subject.coarse.finer(coarse, subject.parts)

    def _there(self, subject: Subject, place: int) -> np.ndarray:
        if subject.coarse is not subject.parts:
            return np.arange(subject.coarse.count)
        return np.flatnonzero(subject.valid[place])

    def _one(
        self, subject: Subject, place: int, there: np.ndarray, seed: int
    ) -> np.ndarray:
        if len(there) == 1:  # Nothing to divide, which the library refuses.
            return np.array([subject.full[place] - subject.empty[place]])
        try:
            question = np.array([len(there), _ORDERS, seed + place], np.int64)
            arrays.write(self._process.stdin, question)
            while True:
                found = arrays.read(self._process.stdout)
                if found.ndim == 1:
                    return found
                keep = np.ones((len(found), subject.coarse.count), bool)
                keep[:, there] = found > 0.5
                variants = subject.with_some(keep, subject.coarse, place)
                scores = subject.scores(variants, np.full(len(keep), place))
                arrays.write(self._process.stdin, scores)
        except (BrokenPipeError, EOFError) as error:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines()
            last = said[-1] if said else "silently"
            raise RuntimeError(f"explain: shap ended in its process: {last}") from error
