"""The folder of a rung: a version in its format, and what was measured of it."""

import contextlib
import json
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from kerascale.compression.formats.rungs import Rung
from kerascale.compression.measuring.scores import Answers
from kerascale.runs import layout
from kerascale.runtime import atomic_files
from kerascale.serving import record

_WRITING = "writing-"
# What kerascale keeps beside the version's own files.
OWN_FILES = (layout.RUNG, layout.RUNG_ANSWERS, layout.RUNG_GATE)


def place(base: pathlib.Path, rung: Rung) -> pathlib.Path:
    """`runs/cnn/1/compressed/int8/litert`, say."""
    return base / rung.level / rung.runtime


@contextlib.contextmanager
def new(base: pathlib.Path, rung: Rung) -> Iterator[pathlib.Path]:
    """A folder to write a rung into, which gets its name when it is whole."""
    final = place(base, rung)
    final.parent.mkdir(parents=True, exist_ok=True)
    for left in final.parent.glob(f"{_WRITING}*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=_WRITING, dir=final.parent))
    folder.chmod(0o755)
    try:
        yield folder
        shutil.rmtree(final, ignore_errors=True)
        folder.rename(final)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            final.parent.rmdir()
        raise


def write(
    folder: pathlib.Path,
    content: dict[str, Any],
    answers: Answers,
    gate: list[dict[str, np.ndarray]],
) -> None:
    """Writes what was measured; the record last, so that it says that all is there.

    Args:
        folder: The rung's.
        content: Numbers and their circumstances.
        answers: On the held-out examples.
        gate: On the examples that an export is compared on.
    """
    np.savez_compressed(
        folder / layout.RUNG_ANSWERS,
        predicted=answers.predicted,
        given=answers.given,
        highest=answers.highest,
    )
    arrays = {
        f"{i}/{name}": array.astype("S") if array.dtype == object else array
        for i, outputs in enumerate(gate)
        for name, array in outputs.items()
    }
    np.savez_compressed(folder / layout.RUNG_GATE, **arrays)
    content = {**content, "files": files(folder)}
    (folder / layout.RUNG).write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def files(folder: pathlib.Path) -> dict[str, Any]:
    """Size and sha256 of the version's own files."""
    found = record.sums(folder)
    return {name: value for name, value in found.items() if name not in OWN_FILES}


def read(folder: pathlib.Path) -> dict[str, Any] | None:
    """What was measured; None if the folder is no whole rung."""
    try:
        content = json.loads((folder / layout.RUNG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_whole = isinstance(content, dict) and content.get("files") == files(folder)
    return content if is_whole else None


def read_answers(folder: pathlib.Path) -> Answers:
    """The answers on the held-out examples."""
    with np.load(folder / layout.RUNG_ANSWERS) as arrays:
        return Answers(arrays["predicted"], arrays["given"], arrays["highest"])


def read_gate(folder: pathlib.Path) -> list[dict[str, np.ndarray]]:
    """The answers that an export is compared with, for each call."""
    calls: dict[int, dict[str, np.ndarray]] = {}
    with np.load(folder / layout.RUNG_GATE) as arrays:
        for key in arrays.files:
            number, _, name = key.partition("/")
            array = arrays[key]
            array = array.astype(object) if array.dtype.kind == "S" else array
            calls.setdefault(int(number), {})[name] = array
    return [calls[number] for number in sorted(calls)]


def write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Writes a file that is either whole or as it was."""
    with atomic_files.replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
