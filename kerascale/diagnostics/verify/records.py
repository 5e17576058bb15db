"""What a process leaves of its training: one file for each step."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerascale.runtime import atomic_files

_STATUS = "status.json"
_PREDICTIONS = "predictions.npz"
_GRADIENTS = "gradients.npz"

# Of the keys in a step's file.
LOG = "log/"
COUNT = "count/"


@dataclasses.dataclass(frozen=True)
class Status:
    """How a process ended, and what is known of its model.

    Args:
        outcome: `done`, `refused` or `failed`.
        message: Why it was refused or failed.
        variables: Paths of the weights, in the model's order.
        batch_sizes: Examples of each step.
        has_batch_normalization: Whether the model has such a layer.
        notes: What a reader of the report should know.
    """

    outcome: str
    message: str = ""
    variables: tuple[str, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    has_batch_normalization: bool = False
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Record:
    """The files of one process.

    Step 0 is before the first step. A step's file has `0`, `1`, ... for the weights
    in the model's order, `0/1` for weight 0 on the second device if it is not equal
    there, `log/NAME` for loss and metrics, and `count/NAME` for the examples that a
    counting metric has seen.

    Args:
        folder: Where they are.
    """

    folder: pathlib.Path

    def write_status(self, status: Status) -> None:
        text = json.dumps(dataclasses.asdict(status))
        self._replace(_STATUS, lambda path: path.write_text(text, encoding="utf-8"))

    def status(self) -> Status | None:
        """None if the process ended before it could say how."""
        path = self.folder / _STATUS
        if not path.exists():
            return None
        values = json.loads(path.read_text(encoding="utf-8"))
        lists = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
        return Status(**{**values, **lists})

    def write_step(self, step: int, arrays: Mapping[str, Any]) -> None:
        self._save(f"step-{step:06d}.npz", arrays)

    def steps(self) -> list[int]:
        """The steps that were recorded, in order."""
        return sorted(int(path.stem[5:]) for path in self.folder.glob("step-*.npz"))

    def step(self, step: int) -> dict[str, np.ndarray]:
        return _load(self.folder / f"step-{step:06d}.npz")

    def write_predictions(self, arrays: Mapping[str, Any]) -> None:
        self._save(_PREDICTIONS, arrays)

    def predictions(self) -> dict[str, np.ndarray]:
        return _load(self.folder / _PREDICTIONS)

    def write_gradients(self, arrays: Mapping[str, Any]) -> None:
        self._save(_GRADIENTS, arrays)

    def gradients(self) -> dict[str, np.ndarray]:
        """Index of a weight, or `largest` -> gradient. Empty if there are none."""
        path = self.folder / _GRADIENTS
        return _load(path) if path.exists() else {}

    def _save(self, name: str, arrays: Mapping[str, Any]) -> None:
        def write(path: pathlib.Path) -> None:
            with open(path, "wb") as file:
                np.savez(file, **arrays)

        self._replace(name, write)

    def _replace(self, name: str, write: Any) -> None:
        # Whole or not there: the process may be killed at any time.
        with atomic_files.replacing(self.folder / name) as temporary:
            write(temporary)


def _load(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}
