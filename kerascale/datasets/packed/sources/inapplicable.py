"""Options that were given and cannot have an effect: a mistake worth a word."""

from typing import TYPE_CHECKING

from kerascale.config.tasks import OF_CLASSES
from kerascale.datasets.packed.rows import RowSource
from kerascale.datasets.reading import EMBEDDED
from kerascale.errors import RefusedError

if TYPE_CHECKING:
    from kerascale.datasets.packed.sources import SourceOptions

# Whose labels may be targets.
WITH_TARGETS = ("csv", "parquet", "npz", "tfrecord", "tfds")
# Option -> prefixes of data that it is for.
_PREFIXES = {
    "label": ("csv", "parquet", "tfds"),
    "test_data": ("csv", "parquet"),
    "columns": ("csv", "parquet", "tfds"),
    "drop_columns": ("csv", "parquet", "tfds"),
    "separator": ("csv",),
    "no_header": ("csv",),
    "tokenizer": ("text", "python_reference"),
    "vocabulary_size": ("text", "python_reference"),
    "jpeg_restart_markers": ("images",),
    "skip_damaged_share": ("images", "tfds", "tfrecord"),
}


def refuse(source: RowSource, options: "SourceOptions") -> None:
    """Refuses options that are not for the data.

    Raises:
        RefusedError: With each of them.
    """
    usual = type(options)()
    problems = []
    for name, prefixes in _PREFIXES.items():
        value, default = _value(options, name), _value(usual, name)
        if value != default and source.name.partition(":")[0] not in prefixes:
            *names, last = (p if p in EMBEDDED else f"{p}:" for p in prefixes)
            expected = f"{', '.join(names)} or {last}" if names else last
            problems.append(
                f"{name}: expected only with {expected} data. Received: {value!r} with "
                f"{source.name}. Leave it out"
            )
    prefix = source.name.partition(":")[0]
    if options.task not in ("auto", *OF_CLASSES) and prefix not in WITH_TARGETS:
        names = ", ".join(f"{p}:" for p in WITH_TARGETS)
        problems.append(
            f"task: expected a task of classes, or {names} data. Received: "
            f"{options.task!r} with {source.name}, which is packed with classes as "
            "labels. Train on it in memory (--pack never)"
        )
    if options.image_size is not None and source.kind != "image":
        problems.append(
            f"image_size: expected only with image data. Received: "
            f"{options.image_size!r} with {source.name}, which is {source.kind} data. "
            "Leave it out"
        )
    if options.jpeg_restart_markers and options.image_size is not None:
        problems.append(
            "jpeg_restart_markers: expected only with pictures that stay encoded. "
            f"Received: true with image_size={options.image_size}. Leave one of them "
            "out"
        )
    if options.tokenizer != "bpe" and options.vocabulary_size != usual.vocabulary_size:
        problems.append(
            "vocabulary_size: expected only with tokenizer=bpe. Received: "
            f"{options.vocabulary_size!r} with tokenizer={options.tokenizer}. Leave it "
            "out"
        )
    if problems:
        raise RefusedError(problems, heading=source.name)


def _value(options: "SourceOptions", name: str) -> object:
    holder = options if hasattr(options, name) else options.csv_options
    return getattr(holder, name)
