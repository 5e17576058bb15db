"""Sources of rows to pack: from a data set's name to a `RowSource`."""

import dataclasses
import importlib
import os

from kerascale.config.tasks import AskedTask
from kerascale.datasets import remote
from kerascale.datasets.packed.rows import RowSource
from kerascale.datasets.packed.sources import inapplicable
from kerascale.datasets.raw import RawData
from kerascale.datasets.sources.csv_options import USUAL, CsvOptions

# Prefix -> module of this package with `open_rows(rest, options) -> RowSource`, where
# `rest` is what stands behind the colon. What is not here is read into memory first.
_STREAMED: dict[str, str] = {
    "csv": "csv",
    "images": "images",
    "npz": "npz",
    "parquet": "parquet",
    "text": "text",
    "tfds": "tfds",
    "tfrecord": "tfrecord",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How a source is read; each means what it means in a training.

    Args:
        label: Label column of a table.
        num_classes: Number of classes, where the data does not say.
        image_size: Height and width in pixels to resize images to; None: encoded
            pictures stay as they are.
        jpeg_restart_markers: Whether JPEGs that stay encoded get restart markers; see
            `jpeg_restarts`.
        skip_damaged_share: Largest share of damaged rows to leave out.
        csv_options: How a CSV file is written, and which columns of a table are read.
        test_data: Another CSV file, with the test examples.
        validation_fraction: Of a corpus: share of it for validation, and for the test.
        tokenizer: Of a corpus: `characters` or `bpe`.
        vocabulary_size: Largest number of ids of byte pairs.
        task: What is asked for: `regression`, `multilabel` or a task of classes; `auto`
            tells it by the labels.
        jobs: Threads or processes that read and decode; None: as many as cores.
    """

    label: str | None = None
    num_classes: int | None = None
    image_size: int | None = None
    jpeg_restart_markers: bool = False
    skip_damaged_share: float = 0.0
    csv_options: CsvOptions = USUAL
    test_data: str | None = None
    validation_fraction: float = 0.15
    tokenizer: str = "characters"
    vocabulary_size: int = 4096
    task: AskedTask = "auto"
    jobs: int | None = None

    def of_rows(self) -> dict[str, object]:
        """Those that decide what the rows are, in JSON."""
        fields = dataclasses.asdict(self)
        # A greater share may be allowed later on; the packer knows the fraction.
        for name in ("jobs", "skip_damaged_share", "validation_fraction"):
            del fields[name]
        # What was packed before there were these is not another data set.
        if self.task == "auto":
            del fields["task"]
        if self.jpeg_restart_markers:
            # `True`: encoded anew by an earlier version, with other pixels.
            fields["jpeg_restart_markers"] = "lossless"
        else:
            del fields["jpeg_restart_markers"]
        return fields


def open_source(name: str, options: SourceOptions | None = None) -> RowSource:
    """Opens a data set, to read its rows from front to back.

    Args:
        name: As `--dataset` takes it.
        options: How it is read.

    Raises:
        RefusedError: If the name is unknown, the data is not as expected, or an option
            is not for it.
    """
    options = SourceOptions() if options is None else options
    here = remote.local_name(name)
    test_data = remote.local_file(options.test_data)
    options = dataclasses.replace(options, test_data=test_data)
    source = _opened(here, options)
    inapplicable.refuse(source, options)
    if here != name:
        source.name = name
    return source


def _opened(name: str, options: SourceOptions) -> RowSource:
    prefix, _, rest = name.partition(":")
    if prefix in _STREAMED and rest:
        module = importlib.import_module(f"{__name__}.{_STREAMED[prefix]}")
        if prefix != "tfds":
            rest = os.path.expanduser(rest)
        return module.open_rows(rest, options)
    from kerascale.datasets import reading
    from kerascale.datasets.packed.sources.in_memory import InMemory

    raw = reading.read(
        name,
        label=options.label,
        num_classes=options.num_classes,
        image_size=options.image_size,
        skip_damaged_share=options.skip_damaged_share,
        csv_options=options.csv_options,
        test_data=options.test_data,
        held_out_fraction=options.validation_fraction,
        task=options.task,
    )
    if raw.kind == "corpus":
        from kerascale.datasets.packed.sources.text import TextInMemory

        return TextInMemory(raw, options)
    if raw.kind == "image" and options.image_size is not None:
        raw = _resized(raw, options.image_size)
    return InMemory(raw)


def _resized(raw: RawData, size: int) -> RawData:
    from kerascale.datasets import resizing

    splits = {
        name: dataclasses.replace(
            split, features=resizing.resized(split.features, size)
        )
        for name in ("train", "validation", "test")
        if (split := getattr(raw, name)) is not None
    }
    return dataclasses.replace(raw, **splits)


def needs_tensorflow(name: str, options: SourceOptions) -> bool:
    """Whether a data set is packed with TensorFlow, as far as is known before.

    Args:
        name: As `--dataset` takes it.
        options: How it is read.
    """
    without = ("csv:", "images:", "npz:", "parquet:", "text:")
    return options.image_size is not None or not name.startswith(without)


def usual_fraction(name: str) -> float:
    """The share that is held back where none is asked for, as in training.

    Args:
        name: As `--dataset` takes it.
    """
    return 0.05 if name == "python_reference" or name.startswith("text:") else 0.15
