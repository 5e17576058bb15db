"""The rungs of a ladder: how weights and activations are kept, and in which runtime."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from kerascale.errors import RefusedError

LevelName = Literal[
    "float32", "float16", "int8-weights", "int8", "int4", "pruned-0.8", "2:4"
]
RuntimeName = Literal["litert", "onnx", "tensorflow"]

FLOAT = "float32"
# Level -> what it is.
LEVELS = {
    FLOAT: "as it was trained",
    "float16": "weights in half precision, computed in float32",
    "int8-weights": "weights in int8, one scale for each channel; no calibration",
    "int8": "weights and activations in int8, computed in integers",
    "int4": "weights in int4 where the runtime has such products, else in int8",
    "pruned-0.8": "trained on without 80 % of its weights, in float32",
    "2:4": "trained on without two of each four weights in a row, in float32",
}
# Those for which the run trains on: built only where they are named.
TRAINED = ("pruned-0.8", "2:4")
# Runtime -> the format of its versions, as `kerascale.serving.formats` calls it.
RUNTIMES = {"litert": "litert", "onnx": "onnx", "tensorflow": "saved_model"}
TITLES = {"litert": "LiteRT", "onnx": "ONNX Runtime", "tensorflow": "TensorFlow"}
_NOT_IN_TENSORFLOW = {
    "int8": "TensorFlow has no integer kernels for a SavedModel on a CPU",
    "int4": "TensorFlow has no int4 kernels",
}


@dataclasses.dataclass(frozen=True, order=True)
class Rung:
    """One way to keep a model.

    Args:
        level: How weights and activations are kept: one of `LEVELS`.
        runtime: What runs it: one of `RUNTIMES`.
    """

    level: str
    runtime: str

    def __str__(self) -> str:
        return f"{self.level} in {TITLES[self.runtime]}"

    @property
    def format(self) -> str:
        """As `kerascale.serving.formats` calls it."""
        return RUNTIMES[self.runtime]


def problem(rung: Rung, info: Any) -> str | None:
    """Why a rung cannot be for a run's data; None: it can, as far as is known by now.

    Args:
        rung: The rung.
        info: Of the run's data.
    """
    if rung.runtime == "tensorflow" and rung.level in _NOT_IN_TENSORFLOW:
        return _NOT_IN_TENSORFLOW[rung.level]
    if rung.runtime == "litert" and info.kind in ("text", "corpus"):
        return "LiteRT has no operations for texts and free lengths of sequences"
    return None


def wanted(
    levels: Sequence[str],
    runtimes: Sequence[str],
    info: Any,
    installed: Sequence[str] = tuple(RUNTIMES),
) -> tuple[list[Rung], dict[Rung, str]]:
    """The rungs to build, float ones first, and those that cannot be.

    Args:
        levels: Of `LEVELS`; empty: all but those of `TRAINED`.
        runtimes: Of `RUNTIMES`; empty: all that are installed.
        info: Of the run's data.
        installed: The runtimes that are there.

    Returns:
        The rungs, and the reason against each of the others.

    Raises:
        RefusedError: If a level or runtime that was named cannot be at all.
    """
    cannot: dict[Rung, str] = {}
    possible: list[Rung] = []
    for level in LEVELS:
        named = level in levels if levels else level not in TRAINED
        if not named and level != FLOAT:
            continue
        for runtime in runtimes or installed:
            rung = Rung(level, runtime)
            reason = problem(rung, info)
            if reason is None:
                possible.append(rung)
            else:
                cannot[rung] = reason
    problems = []
    for name, attribute in [
        *((level, "level") for level in levels),
        *((runtime, "runtime") for runtime in runtimes),
    ]:
        if not any(getattr(rung, attribute) == name for rung in possible):
            reasons = [
                why for rung, why in cannot.items() if getattr(rung, attribute) == name
            ]
            flag = "--to" if attribute == "level" else "--runtimes"
            problems.append(
                f"{flag} {name}: expected a format that can. Received: "
                f"{'; '.join(dict.fromkeys(reasons))}. Leave it out."
            )
    if problems:
        raise RefusedError(problems, heading="compress")
    # A runtime that only the float reference would be in shows nothing.
    useful = {rung.runtime for rung in possible if rung.level != FLOAT}
    if levels and list(levels) != [FLOAT]:
        possible = [rung for rung in possible if rung.runtime in useful]
    return possible, cannot
