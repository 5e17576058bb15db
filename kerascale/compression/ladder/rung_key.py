"""What a rung depends on: where that has changed, it is built again."""

import hashlib
import importlib.metadata
from typing import Any

from kerascale._version import __version__
from kerascale.runs import layout
from kerascale.runs.run import Run

# Of how rungs are built: those that were built otherwise are built again.
_FORMAT = 1
_DISTRIBUTIONS = (
    "tensorflow",
    "keras",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "onnxruntime",
    "tf2onnx",
)


def of(run: Run, calibration_examples: int, threads: int) -> dict[str, Any]:
    """Everything that decides what a rung is and how it was measured.

    Args:
        run: The run.
        calibration_examples: How many training examples ranges are taken from.
        threads: How many threads its runtime computes with.
    """
    with (run.path / layout.MODEL).open("rb") as file:
        model = hashlib.file_digest(file, "sha256").hexdigest()
    learned = run.path / layout.RANGES
    ranges = None
    if learned.exists():
        ranges = hashlib.sha256(learned.read_bytes()).hexdigest()
    versions = {"kerascale": __version__}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "format": _FORMAT,
        "model": model,
        "data": run.info.fingerprint,
        "calibration_examples": calibration_examples,
        "threads": threads,
        "versions": versions,
        **({} if ranges is None else {"ranges": ranges}),
    }
