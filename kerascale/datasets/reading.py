"""From a data set's name to its examples in memory."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from kerascale.config.fields import nearest
from kerascale.config.tasks import AskedTask
from kerascale.datasets import remote
from kerascale.datasets.raw import RawData
from kerascale.datasets.sources.csv_options import USUAL, CsvOptions
from kerascale.errors import RefusedError

EMBEDDED = ("digits", "python_reference")
PREFIXES = ("tfds", "csv", "parquet", "npz", "images", "tfrecord", "text")


def read(name: str, *, test_data: str | None = None, **how: Any) -> RawData:
    """Reads a data set into memory; see `_read` for how.

    Args:
        name: `digits`, `python_reference`, `tfds:NAME`, or PATH behind `csv:`,
            `parquet:`, `npz:`, `images:`, `tfrecord:` or `text:`. A path may be an
            address of an object store.
        test_data: As in `_read`.
        **how: As in `_read`.

    Raises:
        RefusedError: If the name is unknown, or the data is not as expected.
    """
    here = remote.local_name(name)
    raw = _read(here, test_data=remote.local_file(test_data), **how)
    return raw if here == name else dataclasses.replace(raw, name=name)


def _read(
    name: str,
    *,
    label: str | None = None,
    num_classes: int | None = None,
    image_size: int | None = None,
    skip_damaged_share: float = 0.0,
    csv_options: CsvOptions = USUAL,
    test_data: str | None = None,
    is_test: bool = False,
    class_names: Sequence[str] | None = None,
    held_out_fraction: float = 0.05,
    task: AskedTask = "classification",
) -> RawData:
    """Reads a data set into memory.

    Args:
        name: `digits`, `python_reference`, `tfds:NAME`, `csv:PATH`, `parquet:PATH`,
            `npz:PATH`, `images:FOLDER`, `tfrecord:PATH` or `text:PATH`.
        label: Label column of a table, or feature of a data set of TFDS.
        num_classes: Number of classes, where the data does not say.
        image_size: Height and width in pixels to resize images to; or None.
        skip_damaged_share: Largest share of damaged TFRecord records to skip.
        csv_options: How a CSV file is written, and which columns of a table are read.
        test_data: Another table of the same kind, with the test examples: PATH, or
            with csv: or parquet: before it.
        is_test: Nothing is trained on it: a table may have few rows of each class.
        class_names: Of an `.npz` file: the names that its labels may have, or the
            order of their indices.
        held_out_fraction: Of `python_reference` and `text:`: share of the characters
            for validation, and for the test. Other data is split later.
        task: What is asked for. Labels of arrays, records and TFDS are numbers to
            predict, or several labels, where it says so, or where they can be nothing
            else. Tables are read here with class labels; see
            `kerascale.datasets.tables.loading`.

    Raises:
        RefusedError: If the name is unknown, or the data is not as expected.
    """
    prefix, colon, rest = name.partition(":")
    if name not in EMBEDDED and not (colon and prefix in PREFIXES and rest):
        suffix = pathlib.PurePath(name).suffix.lower()
        if name.lower().endswith((".csv.gz", ".tsv", ".tsv.gz")):
            suffix = ".csv"
        if suffix in (".csv", ".npz", ".parquet", ".tfrecord"):
            hint = f" Did you mean {suffix[1:]}:{name}?"
        else:
            known = [*EMBEDDED, *(f"{prefix}:" for prefix in (*PREFIXES, "packed"))]
            hint = nearest(name, known)
        raise RefusedError(
            "dataset: expected digits, python_reference, tfds:NAME, csv:PATH, "
            "parquet:PATH, npz:PATH, images:FOLDER, tfrecord:PATH, text:PATH or "
            "packed:FOLDER. "
            "Received: "
            f"{name!r}.{hint}"
        )
    if prefix != "tfds":
        rest = os.path.expanduser(rest)  # A shell leaves the ~ of csv:~/x.csv alone.
    # Imported here: tensorflow-datasets alone takes a second.
    if name in EMBEDDED:
        from kerascale.datasets.sources import embedded

        if name == "digits":
            return embedded.digits()
        return embedded.python_reference(held_out_fraction)
    if prefix == "tfds":
        from kerascale.datasets.sources import tfds_features, tfds_source

        return tfds_source.load_tfds(
            rest,
            image_size,
            asked=tfds_features.Asked(
                label, csv_options.columns, csv_options.drop_columns
            ),
            num_classes=num_classes,
            task=task,
        )
    if prefix in ("csv", "parquet"):
        from kerascale.datasets.sources import tables

        load = _table_loader(prefix)
        raw = load(rest, label, num_classes, csv_options, is_test=is_test)
        if test_data is None:
            return raw
        test_path = os.path.expanduser(test_data.removeprefix(f"{prefix}:"))
        return tables.with_test_file(
            load, raw, test_path, label, num_classes, csv_options
        )
    if prefix == "npz":
        from kerascale.datasets.sources import npz_source

        return npz_source.load_npz(
            rest, num_classes, image_size, class_names, task=task
        )
    if prefix == "images":
        from kerascale.datasets.sources import images_source

        return images_source.load_images(rest, image_size)
    if prefix == "tfrecord":
        from kerascale.datasets.sources import tfrecord_source

        return tfrecord_source.load_tfrecord(
            rest, num_classes, image_size, skip_damaged_share, task=task
        )
    from kerascale.datasets.sources import text_file

    return text_file.load_text(rest, held_out_fraction)


def _table_loader(prefix: str) -> Callable[..., RawData]:
    if prefix == "csv":
        from kerascale.datasets.sources.csv_source import load_csv

        return load_csv
    from kerascale.datasets.sources.parquet_source import load_parquet

    return load_parquet
