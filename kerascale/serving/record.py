"""`assets.extra/kerascale.json`: where a version comes from, and its files."""

import datetime
import json
import math
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from kerascale._version import __version__
from kerascale.serving import provenance

EXTRA = "assets.extra"
TOKENIZER = "tokenizer.json"
FILE = "kerascale.json"
LABELS = "labels.json"
# Made of all files of a version, and so none of them.
SIGNATURE = "model.sig"
FORMAT = 1


def write_tokenizer(folder: pathlib.Path, tokenizer: str | None) -> None:
    """Writes what makes ids of texts, as the library `tokenizers` reads it, if any."""
    if tokenizer is not None:
        (folder / EXTRA / TOKENIZER).write_text(tokenizer, encoding="utf-8")


def write_labels(folder: pathlib.Path, labels: Sequence[str]) -> None:
    """Writes what each place of the output stands for; nothing if that is unknown."""
    if labels:
        text = json.dumps(list(labels), ensure_ascii=False, indent=0)
        (folder / EXTRA / LABELS).write_text(text + "\n", encoding="utf-8")


def read_labels(folder: pathlib.Path) -> list[str] | None:
    """The labels of a version; None if it has none."""
    return _read(folder / EXTRA / LABELS, list)


def write(folder: pathlib.Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the record of a version, all of whose other files are there.

    Args:
        folder: The version.
        content: What is known of it. Metrics may be whatever an evaluation gives:
            those that are one number are kept.

    Returns:
        What was written.
    """
    import keras
    import tensorflow as tf

    claim = provenance.statement(content, sums(folder))
    text = json.dumps(claim, ensure_ascii=False, indent=1)
    (folder / EXTRA / provenance.FILE).write_text(text + "\n", encoding="utf-8")
    scalars = {
        name: value
        for name, value in content.get("metrics", {}).items()
        if isinstance(value, int | float | str)
    }
    record = {
        "format": FORMAT,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **content,
        "metrics": {name: _finite(value) for name, value in scalars.items()},
        "versions": {
            "kerascale": __version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "python": platform.python_version(),
        },
        "files": sums(folder),
    }
    text = json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False)
    (folder / EXTRA / FILE).write_text(text + "\n", encoding="utf-8")
    return record


def _finite(value: Any) -> Any:
    # JSON has no word for NaN.
    is_bad = isinstance(value, float) and not math.isfinite(value)
    return str(value) if is_bad else value


def read(folder: pathlib.Path) -> dict[str, Any]:
    """The record of a version; empty if it has none."""
    return _read(folder / EXTRA / FILE, dict) or {}


def _read(file: pathlib.Path, kind: type) -> Any:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, kind) else None


def sums(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of each file of a version but the record and its signature."""
    found = {}
    own = (f"{EXTRA}/{FILE}", f"{EXTRA}/{SIGNATURE}")
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name not in own:
            sha256 = provenance.sha256_of(file)
            found[name] = {"size": file.stat().st_size, "sha256": sha256}
    return found


def changed_files(folder: pathlib.Path) -> list[str] | None:
    """The files of a version that are not what was exported; None without a record."""
    expected = read(folder).get("files")
    if not isinstance(expected, dict):
        return None
    found = sums(folder)
    return sorted(
        name for name in {*expected, *found} if expected.get(name) != found.get(name)
    )
