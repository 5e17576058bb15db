"""`packed.json`: what a packed data set holds."""

import dataclasses
import json
import pathlib
from typing import Any

from kerascale.config.tasks import Task
from kerascale.datasets.packed import layout
from kerascale.datasets.raw import Kind
from kerascale.errors import RefusedError


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a packed data set holds, and what it was made of.

    Args:
        source: What the user called it, such as `images:birds`.
        identity: Of the source, when it was packed; see `RowSource.identity`.
        options: How it was packed: the options of the source and of the packer.
        kind: As `RawData.kind`.
        encoding: As `RowSource.encoding`.
        dtype: Of `features.bin`; None for rows of any size.
        shape: Of one row; None for rows of any size. `()` for tokens of a corpus.
        num_rows: Of all splits.
        class_names: In the order of the label indices.
        feature_names: Of a table's columns.
        given_splits: Splits that the source had; others were taken out of "train".
        held_out_fraction: The share that was taken for each.
        counts: Split -> rows.
        class_counts: Split -> rows of each class.
        mean: Of the training rows, as `Datasets.mean`; float or a list; None: none.
        variance: Like `mean`.
        shards: [{"file", "rows", "bytes"}] of rows of any size.
        vocabulary: See `Facts.vocabulary`.
        skipped: See `Facts.skipped`.
        image_shape: See `Facts.image_shape`.
        ranges: Of a corpus, which has no index: split -> its first token, and the one
            behind its last.
        sizes: File -> its bytes, of all that have checksums.
        task: See `Facts.task`.
        target_names: See `Facts.target_names`.
        columns: See `Facts.columns`.
        examples: See `Facts.examples`.
        fingerprint: Of names, shapes, labels and checksums: changes when the data do.
    """

    source: str
    identity: dict[str, Any]
    options: dict[str, Any]
    kind: Kind
    encoding: str | None
    dtype: str | None
    shape: tuple[int, ...] | None
    num_rows: int
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    given_splits: tuple[str, ...]
    held_out_fraction: float
    counts: dict[str, int]
    class_counts: dict[str, list[int]]
    mean: Any = None
    variance: Any = None
    shards: tuple[dict[str, Any], ...] = ()
    vocabulary: Any = None
    skipped: tuple[str, ...] = ()
    fingerprint: str = ""
    image_shape: tuple[int | None, ...] | None = None
    ranges: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    task: Task = "classification"
    target_names: tuple[str, ...] = ()
    columns: tuple[dict[str, Any], ...] = ()
    examples: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        fields = {"format": layout.FORMAT, "version": layout.VERSION}
        return json.dumps(fields | dataclasses.asdict(self), indent=1) + "\n"


def load(folder: pathlib.Path) -> Manifest:
    """Reads the manifest of a packed data set.

    Raises:
        RefusedError: If the folder is none, is unfinished, or of another version.
    """
    path = folder / layout.MANIFEST
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(fields, dict):
            raise ValueError
    except FileNotFoundError as error:
        if (folder / layout.PROGRESS).exists():
            raise RefusedError(
                f"packed: expected a packed data set. Received: {folder}, whose "
                "packing was not finished. Run the same `kerascale pack` command "
                "again: it goes on."
            ) from error
        raise RefusedError(
            f"packed: expected a folder that `kerascale pack SOURCE DEST` made. "
            f"Received: {folder}, in which there is no {layout.MANIFEST}."
        ) from error
    except NotADirectoryError as error:
        raise RefusedError(
            f"packed: expected a folder. Received: {folder}, which is a file."
        ) from error
    except (OSError, ValueError) as error:
        raise RefusedError(
            f"packed: expected a readable {layout.MANIFEST}. Received: {path} "
            f"({error}). Pack the source again."
        ) from error
    if fields.pop("format", None) != layout.FORMAT:
        raise RefusedError(
            f"packed: expected a folder that `kerascale pack SOURCE DEST` made. "
            f"Received: {folder}, whose {layout.MANIFEST} is of something else."
        )
    version = fields.pop("version", None)
    if version != layout.VERSION:
        raise RefusedError(
            f"packed: expected version {layout.VERSION} of the format. Received: "
            f"{folder} of version {version!r}. Pack {fields.get('source')} again."
        )
    known = {field.name: field for field in dataclasses.fields(Manifest)}
    try:
        for name in fields:
            if isinstance(fields[name], list) and name not in ("mean", "variance"):
                fields[name] = tuple(fields[name])
        return Manifest(**{k: v for k, v in fields.items() if k in known})
    except TypeError as error:
        raise RefusedError(
            f"packed: expected a complete {layout.MANIFEST}. Received: {path} "
            f"({error}). Pack the source again."
        ) from error
