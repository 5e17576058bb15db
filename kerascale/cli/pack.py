"""`kerascale pack SOURCE DEST`, and `kerascale pack --check DEST`."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish
from kerascale.config.fields import Limits, PositiveInt, Share, check
from kerascale.config.tasks import AskedTask
from kerascale.errors import EXIT_DONE, EXIT_FAILED, RefusedError
from kerascale.runtime import interrupts
from kerascale.runtime.console import counted, duration, live, say

_PROGRAM = "kerascale pack"
_USAGE = "SOURCE DEST [--image-size N ...]    or: --check DEST"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Pack a data set of any size into a folder that is read by index.

    SOURCE is what --dataset takes; train on the result with --dataset packed:DEST. The
    same command goes on where it was interrupted. --check DEST reads a packed data set
    against its checksums."""

    image_size: PositiveInt | None = None
    """Height and width in pixels to which images are resized. Default: pictures of
    files stay encoded as they are, and are decoded in training."""
    jpeg_restart_markers: bool = False
    """Add restart markers to JPEGs, for faster random windows
    (--augment-resized-crop): each pixel stays the same. Needs the extra jpeg. Default:
    files stay as they are."""
    validation_fraction: Annotated[float, Limits(above=0, at_most=0.5)] | None = None
    """Share of the training examples held back for validation, and again for the test,
    unless the data has splits for them. Default: as in training, 0.15; of a text 0.05.
    """
    label: str | None = None
    """Label column of a table, or feature of a tfds: data set; several between
    commas."""
    task: AskedTask = "auto"
    """What its labels are for: regression, multilabel, or a task of classes. Default:
    told by the labels of the first rows."""
    test_data: str | None = None
    """Another CSV file like that of a csv: data set, with the test examples."""
    columns: tuple[str, ...] = ()
    """Columns of features of a table; or a .toml or .json file that says what columns
    are. Default: all but the label."""
    drop_columns: tuple[str, ...] = ()
    """Columns of a table that are left out."""
    separator: str = ","
    """The character between two cells of a csv: data set, or tab or space."""
    no_header: bool | None = None
    """The first line of a csv: data set is a row of data. Default: it has names."""
    num_classes: PositiveInt | None = None
    """Number of classes; labels must be below it. Default: as the data has."""
    tokenizer: Literal["characters", "bpe"] = "characters"
    """What a token of a text is: a character; or bpe: byte pairs, learned from the
    training text."""
    vocabulary_size: PositiveInt = 4096
    """Largest number of token ids of byte pairs."""
    skip_damaged_share: Share = 0.0
    """Largest share of the rows that may be left out where they are damaged."""
    jobs: PositiveInt | None = None
    """Threads that read and decode. Default: two for each core."""
    again: bool = False
    """Remove first what was packed into DEST before."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""

    def __post_init__(self) -> None:
        problems = check(self)
        if problems:
            raise RefusedError(problems, heading=_PROGRAM)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Read a packed data set against its checksums; name the rows that are damaged."""

    check: str
    """The folder of the packed data set."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> int:
    if any(argument.split("=")[0] == "--check" for argument in arguments):
        return _check(parsing.parse(CheckOptions, arguments, program=_PROGRAM))
    (source, dest), rest = parsing.positional(
        arguments, ["SOURCE", "DEST"], program=_PROGRAM, usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program=f"{_PROGRAM} SOURCE DEST")
    with interrupts.on_signals(), live():
        return _pack(source, pathlib.Path(dest), options)


def _pack(source: str, dest: pathlib.Path, options: Options) -> int:
    from kerascale.datasets.packed import packing, sources
    from kerascale.datasets.packed.watching import Shown
    from kerascale.datasets.sources.csv_options import CsvOptions

    began = time.monotonic()
    fields = dataclasses.asdict(options)
    fraction = options.validation_fraction
    if fraction is None:
        fraction = sources.usual_fraction(source)
    names = [field.name for field in dataclasses.fields(sources.SourceOptions)]
    how = sources.SourceOptions(
        **{name: fields[name] for name in names if name in fields}
        | {"csv_options": CsvOptions.of(fields), "validation_fraction": fraction}
    )
    if sources.needs_tensorflow(source, how):
        quiet.import_tensorflow()
    was_packed = packing.is_packed(dest) and not options.again
    made = packing.pack(
        sources.open_source(source, how),
        dest,
        options=how.of_rows(),
        validation_fraction=fraction,
        again=options.again,
        watcher=Shown(),
    )
    seconds = time.monotonic() - began
    size = sum(made.sizes.values())
    summary: dict[str, Any] = {
        "source": made.source,
        "dest": str(dest),
        "rows": made.counts,
        "bytes": size,
        "skipped": len(made.skipped),
        "fingerprint": made.fingerprint,
        "was_packed": was_packed,
        "seconds": round(seconds, 3),
    }
    unit = "token" if made.kind == "corpus" else "row"
    counts = ", ".join(f"{name} {count:,}" for name, count in made.counts.items())
    text = (
        f"{made.source} is packed already"
        if was_packed
        else f"Packed {made.source} in {duration(seconds)}"
    )
    text += f": {counted(made.num_rows, unit)} ({counts}), {_size(size)}, in {dest}\n"
    if made.skipped:
        text += f"Left out as damaged: {counted(len(made.skipped), 'row')}\n"
    text += f"Train on it:  kerascale train RECIPE --dataset packed:{dest}"
    finish(summary, as_json=options.json, text=text)
    return EXIT_DONE


def _check(options: CheckOptions) -> int:
    from kerascale.datasets.packed import checking
    from kerascale.datasets.packed.watching import show_checking

    began = time.monotonic()
    folder = pathlib.Path(options.check)
    with interrupts.on_signals(), live():
        faults = checking.check(folder, show_checking())
    seconds = time.monotonic() - began
    for fault in faults:
        say(f"damaged: {fault}")
    summary = {
        "dest": str(folder),
        "faults": [dataclasses.asdict(fault) for fault in faults],
        "seconds": round(seconds, 3),
    }
    if faults:
        text = f"{folder} is damaged. Pack its source again: --again"
    else:
        text = f"{folder} is as it was packed ({duration(seconds)})"
    finish(summary, as_json=options.json, text=text)
    return EXIT_FAILED if faults else EXIT_DONE


def _size(num_bytes: int) -> str:
    if num_bytes < 1e9:
        return f"{num_bytes / 1e6:.1f} MB"
    return f"{num_bytes / 1e9:.1f} GB"
