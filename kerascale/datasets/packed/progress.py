"""`progress.json`: how far the packing of a data set has come."""

import dataclasses
import json
import pathlib
from typing import Any

from kerascale.datasets.packed import layout
from kerascale.errors import RefusedError
from kerascale.runtime import atomic_files, durable_files

# How much work a kill may cost.
SYNC_SECONDS = 20.0


@dataclasses.dataclass
class Progress:
    """What is on the disk for sure, and how to go on behind it.

    Args:
        source: What the user called it.
        identity: Of the source, when packing began.
        options: Of the source and of the packer.
        again: Whether what was there before was removed for it: where that is asked
            for again, it goes on.
        state: Of the last rows that are on the disk, for `RowSource.read`.
        rows: How many these are.
        bytes_read: Of the source.
        sizes: File -> its bytes.
        runs: [split, rows] of rows of one split that follow one another.
        shape: Of a row; None: rows of any size.
        dtype: Of the rows; None: rows of any size.
        shards: As `Manifest.shards`, those that are complete.
        piece: {"rows", "bytes"} of the next shard that are on the disk.
        facts: When the last row was read, those of the source.
        sums: How far the moments of the training rows are.
    """

    source: str
    identity: dict[str, Any]
    options: dict[str, Any]
    again: bool = False
    state: dict[str, Any] = dataclasses.field(default_factory=dict)
    rows: int = 0
    bytes_read: int = 0
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    runs: list[list[Any]] = dataclasses.field(default_factory=list)
    shape: list[int] | None = None
    dtype: str | None = None
    shards: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    piece: dict[str, int] | None = None
    facts: dict[str, Any] | None = None
    sums: dict[str, Any] | None = None

    def save(self, folder: pathlib.Path) -> None:
        """Writes it, so that it is there or as it was, whatever happens.

        Raises:
            OSError: If it cannot be written.
        """
        fields = {"format": layout.FORMAT, "version": layout.VERSION}
        text = json.dumps(fields | dataclasses.asdict(self))
        path = folder / layout.PROGRESS
        with atomic_files.replacing(path, durable=True) as temporary:
            temporary.write_text(text, encoding="utf-8")
        durable_files.sync_folder(folder)


def load(folder: pathlib.Path) -> Progress | None:
    """Reads how far a packing has come; None: it has not begun.

    Raises:
        RefusedError: If that cannot be read, or is of another version.
    """
    path = folder / layout.PROGRESS
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        found = (fields.pop("format", None), fields.pop("version", None))
        if found != (layout.FORMAT, layout.VERSION):
            raise ValueError(f"format and version {found}")
        return Progress(**fields)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RefusedError(
            f"pack: expected a readable {layout.PROGRESS} of version "
            f"{layout.VERSION}. Received: {path} ({error}). Begin anew: --again"
        ) from error
