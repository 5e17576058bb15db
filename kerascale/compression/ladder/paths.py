"""Paths of rungs, as they are typed: a level of a run, or a runtime's version of it."""

import os
import pathlib
from typing import Any

from kerascale.compression.formats.rungs import LEVELS, RUNTIMES, Rung
from kerascale.compression.ladder import result, rung_folder
from kerascale.errors import RefusedError
from kerascale.runs import layout
from kerascale.runs.files import read_json


def is_compressed(path: str | os.PathLike) -> bool:
    """Whether a path is that of a level or rung which `kerascale compress` wrote."""
    return ladder_of(path) is not None


def ladder_of(path: str | os.PathLike) -> pathlib.Path | None:
    """The folder of the ladder that a level or rung stands in; None: it is neither."""
    path = pathlib.Path(path)
    if path.name in LEVELS and path.parent.name == layout.COMPRESSED:
        return path.parent
    if path.name in RUNTIMES and path.parent.name in LEVELS:
        return ladder_of(path.parent)
    return None


def find(path: str | os.PathLike, name_of_format: str | None) -> Rung:
    """The rung that a path and a format name.

    Args:
        path: `runs/cnn/1/compressed/int8`, whose smallest rung within the limit is
            taken; or with the runtime behind it.
        name_of_format: Of `serving.formats`; None: any.

    Raises:
        RefusedError: If there is none.
    """
    base = ladder_of(path)
    parts = pathlib.Path(path).relative_to(base).parts
    there: dict[Rung, dict[str, Any]] = {}
    for level in LEVELS:
        for runtime in RUNTIMES:
            rung = Rung(level, runtime)
            measured = rung_folder.read(rung_folder.place(base, rung))
            if measured is not None:
                there[rung] = measured
    fitting = [
        rung
        for rung in there
        if (rung.level, rung.runtime)[: len(parts)] == parts
        and name_of_format in (None, rung.format)
    ]
    if not fitting:
        listed = ", ".join(f"{r.level}/{r.runtime}" for r in there) or "none"
        wanted = "" if name_of_format is None else f" of the format {name_of_format}"
        raise RefusedError(
            f"RUN: expected a rung that is whole{wanted}. Received: {path}. In {base} "
            f"are: {listed}. kerascale compress builds them."
        )
    refused = {rung: refusal_of(path, there[rung]) for rung in fitting}
    return min(fitting, key=lambda r: (refused[r] is not None, there[r]["size"]))


def refusal_of(path: str | os.PathLike, measured: dict[str, Any]) -> str | None:
    """Why a rung is beyond the limit that was given last; None: it is within.

    Args:
        path: The rung's.
        measured: Its record.
    """
    ladder = read_json(ladder_of(path), layout.LADDER)
    return result.refusal(measured["scores"], ladder["max_drop"])


def run_of(path: str | os.PathLike) -> pathlib.Path:
    """The run that was compressed."""
    return ladder_of(path).parent
