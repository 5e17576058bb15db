"""What a run folder holds about a run, read without TensorFlow."""

import dataclasses
import datetime
import json
import math
import pathlib
from typing import Any

import numpy as np

from kerascale.config.monitor import monitor_of
from kerascale.errors import RefusedError
from kerascale.runs import files, layout, step_losses, timeline
from kerascale.training.throughput import goodput
from kerascale.training.throughput.figures import Throughput

# In a line of what was trained since an epoch began.
_BETWEEN = '"kind": "interval", '


@dataclasses.dataclass(frozen=True)
class Recorded:
    """The records of one run, finished or not.

    Args:
        name: The folder, as the user has named it.
        path: The folder.
        config: The content of its `config.json`.
        epochs: One record for each epoch: `epoch`, `step`, `seconds`,
            `examples_per_second`, `learning_rate`, and each metric.
        evaluation: The final evaluation; None: the run has not finished.
        throughput: What was said of it at the end; None: nothing was.
        losses: The loss of each step; NaN: not known. Empty: none was recorded.
        events: Its timeline, oldest first.
        checkpoints: Those that it keeps: `time`, `step` and `bytes`.
        parts: Where its time went, part -> seconds; empty: it was not recorded.
        intervals: Like `epochs`, of what was trained since an epoch began.
    """

    name: str
    path: pathlib.Path
    config: dict[str, Any]
    epochs: list[dict[str, float]]
    evaluation: dict[str, Any] | None
    throughput: str | None
    losses: np.ndarray
    events: list[dict[str, Any]]
    checkpoints: list[dict[str, Any]]
    intervals: list[dict[str, float]] = dataclasses.field(default_factory=list)
    parts: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def recipe(self) -> str:
        return self.config["recipe"]

    @property
    def fields(self) -> dict[str, Any]:
        return self.config["fields"]

    @property
    def origins(self) -> dict[str, str]:
        """Field -> where its value came from; empty if the run is older than that."""
        return self.config.get("origins") or {}

    @property
    def versions(self) -> dict[str, Any]:
        return self.config.get("versions") or {}

    @property
    def hardware(self) -> dict[str, Any]:
        names = ("strategy", "replicas", "workers", "mesh", "remat")
        return {name: self.config[name] for name in names if name in self.config}

    @property
    def compute_dtype(self) -> str:
        """In which its model computed; runs of before do not say it."""
        return self.config.get("compute_dtype", "float32")

    @property
    def knows_first_losses(self) -> bool:
        """Whether the loss of each of the first steps was recorded."""
        return len(self.losses) > 0 and not np.isnan(self.losses[:100]).any()

    @property
    def left_out(self) -> str | None:
        """What the model was trained without, as a sentence; None: nothing."""
        if self.config.get("check") != "never":
            return None
        return "The check that slices are the batch was left out (check='never')."

    @property
    def metrics(self) -> list[str]:
        """What was measured in training, `loss` first, without `val_`."""
        times = ("epoch", "step", "seconds", "examples_per_second", "learning_rate")
        names = dict.fromkeys(
            name.removeprefix("val_")
            for record in self.epochs
            for name in record
            if name not in times
        )
        return sorted(names, key=lambda name: name != "loss")

    def curve(self, name: str) -> list[tuple[int, float]]:
        """(epoch, value) of each epoch that has one."""
        return [(int(r["epoch"]), r[name]) for r in self.epochs if name in r]

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights were taken; None: nothing was trained."""
        monitor = monitor_of(self.fields, bool(self.curve("val_loss")))
        curve = [(e, v) for e, v in self.curve(monitor.name) if not math.isnan(v)]
        if not curve:
            return None
        return curve[monitor.best([value for _, value in curve])][0]

    @property
    def results(self) -> dict[str, Any]:
        """The numbers of the final evaluation."""
        kinds = (int, float, str)
        evaluation = self.evaluation or {}
        return {n: v for n, v in evaluation.items() if isinstance(v, kinds)}


def read(path: str | pathlib.Path) -> Recorded:
    """Reads the records of a run.

    Args:
        path: The run folder.

    Raises:
        RefusedError: If it is no run folder, or a file of it is damaged.
    """
    folder = pathlib.Path(path)
    config = files.read_config(folder)
    evaluation = None
    if (folder / layout.EVALUATION).exists():
        evaluation = files.read_json(folder, layout.EVALUATION)
    epochs, intervals = _read_metrics(folder / layout.METRICS)
    return Recorded(
        name=str(path),
        path=folder,
        config=config,
        epochs=epochs,
        intervals=intervals,
        evaluation=evaluation,
        throughput=_read_throughput(folder),
        losses=_read_losses(folder / layout.LOSSES),
        events=timeline.read(folder),
        checkpoints=_find_checkpoints(folder / layout.CHECKPOINTS),
        parts=_read_parts(folder),
    )


def _read_metrics(
    file: pathlib.Path,
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """The records of epochs, and those between."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return [], []
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"run: {file} cannot be read ({error}).") from error
    epochs, intervals = [], []
    for number, line in enumerate(lines, 1):
        is_between = _BETWEEN in line
        record = _parse(file, number, line.replace(_BETWEEN, "", 1))
        (intervals if is_between else epochs).append(record)
    return epochs, intervals


def _read_throughput(folder: pathlib.Path) -> str | None:
    if not (folder / layout.THROUGHPUT).exists():
        return None
    content = files.read_json(folder, layout.THROUGHPUT)
    fields = dataclasses.fields(Throughput)
    needed = {f.name for f in fields if f.default is dataclasses.MISSING}
    if not needed <= set(content) <= {field.name for field in fields}:
        return None  # Of another version.
    return Throughput(**content).text()


def _read_parts(folder: pathlib.Path) -> dict[str, float]:
    """Also of a run that has not finished: until its last record."""
    starts = goodput.read(folder)
    return goodput.parts(starts) if starts else {}


def _read_losses(file: pathlib.Path) -> np.ndarray:
    try:
        return step_losses.read(file)
    except OSError as error:
        raise RefusedError(f"run: {file} cannot be read ({error}).") from error


def _parse(file: pathlib.Path, number: int, line: str) -> dict[str, float]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    numbers = isinstance(record, dict) and all(
        isinstance(value, int | float) for value in record.values()
    )
    if not numbers or not {"epoch", "step"} <= set(record):
        raise RefusedError(
            f"run: {file} is damaged (line {number}: expected an object of numbers "
            f"with epoch and step. Received: {line!r:.80}). If the run was killed, "
            "the command that began it goes on, and mends the file."
        )
    return record


def _find_checkpoints(folder: pathlib.Path) -> list[dict[str, Any]]:
    """By the times of their folders; nothing in them is verified."""
    found = []
    for path in sorted(folder.glob("*/manifest.json")):
        if path.parent.name.isdecimal():
            moment = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
            found.append(
                {
                    "time": moment.isoformat(timespec="milliseconds"),
                    "step": int(path.parent.name),
                    "bytes": sum(p.stat().st_size for p in path.parent.iterdir()),
                }
            )
    return found
