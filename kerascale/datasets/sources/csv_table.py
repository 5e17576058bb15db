"""CSV files that are read in blocks, to the last bit as if they were read at once."""

import dataclasses
import io
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from kerascale.datasets.packed.sources import ahead
from kerascale.datasets.sources import (
    csv_blocks,
    csv_faults,
    csv_frame,
    table_files,
    tables,
)
from kerascale.datasets.sources.checks import Problems, listing
from kerascale.datasets.sources.csv_diagnosis import BOOLEANS, Lines, diagnose_all
from kerascale.datasets.sources.csv_files import DAMAGED
from kerascale.datasets.sources.csv_options import USUAL, CsvOptions
from kerascale.datasets.sources.csv_rows import data_rows, header_hint, read_header
from kerascale.datasets.sources.label_checks import check_num_classes
from kerascale.datasets.sources.table_columns import chosen_columns, without_targets
from kerascale.datasets.sources.tables import Part, UnusableError
from kerascale.errors import RefusedError
from kerascale.runtime import host

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_MOST_THREADS = 8
# Bytes that pandas takes for each byte of a block.
_MEMORY = 8
_BOOLEANS = tuple(word.encode() for word in BOOLEANS)


def open_csv(
    path: str | os.PathLike[str],
    label: str | None,
    num_classes: int | None = None,
    options: CsvOptions = USUAL,
    *,
    is_test: bool = False,
    targets: tuple[str, ...] = (),
) -> "CsvTable":
    """Looks at the headers of CSV files and at the first rows.

    Args:
        path: A file, a folder of files, or a pattern.
        label: Name of the label column.
        num_classes: If given, labels are 0 to `num_classes - 1`.
        options: How the files are written.
        is_test: Nothing is trained on it.
        targets: Columns of what is to be told, in place of `label`.

    Raises:
        RefusedError: If a file is no table, has other columns than the first, or there
            are not the columns that are asked for.
    """
    path = os.fspath(path)
    check_num_classes(num_classes)
    files = table_files.find(path, SUFFIXES, "a CSV file")
    names, fits = headers(path, files, options)
    if targets:
        label = targets[0]
    columns = chosen_columns(path, names, label, options, header_hint(names))
    columns = without_targets(path, columns, targets)
    ignored = [name for name in names if name != label and name not in columns]
    roles = dict.fromkeys(ignored, "ignored") | dict.fromkeys(columns, "feature")
    if not targets:  # Their cells are looked at by who takes them for numbers.
        roles[label] = "test label" if is_test else "label"
    else:
        roles[label] = "ignored"
    table = CsvTable(
        path=path,
        files=tuple(files),
        label=label,
        names=names,
        feature_names=columns,
        roles=roles,
        options=options,
        num_classes=num_classes,
        is_test=is_test,
        targets=targets,
    )
    if not fits:
        raise table.refusal()
    return table.with_types()


def headers(
    path: str, files: Sequence[str], options: CsvOptions
) -> tuple[tuple[str, ...], bool]:
    """The columns of all files, and whether no first row is too long or too short."""
    problems = Problems(f"{path} cannot be used")
    names, fits = read_header(files[0], options)
    for file in files[1:]:
        found, own = read_header(file, options)
        fits = fits and own
        if found != names:
            problems.add(
                f"{file}: expected the columns of {files[0]}: {listing(names)}. "
                f"Received: {listing(found)}. Give all files the same columns."
            )
    problems.raise_if_any()
    return names, fits


@dataclasses.dataclass(frozen=True, kw_only=True)
class CsvTable:
    """CSV files with the same columns; see `kerascale.datasets.sources.tables.Table`.

    Args:
        path: What the user called them.
        files: The files.
        label: The label column.
        names: All columns.
        feature_names: Those of features.
        roles: What each column should hold: see `csv_diagnosis.diagnose_all`.
        options: How the files are written.
        num_classes: Labels are whole numbers below it.
        is_test: Nothing is trained on it.
        kind: What the features are.
        booleans: Columns of features that hold True and False.
        targets: Columns of what is to be told, in place of a label.
        said_merged: Those of which it was said that float32 merges their integers.
    """

    path: str
    files: tuple[str, ...]
    label: str
    names: tuple[str, ...]
    feature_names: tuple[str, ...]
    roles: Mapping[str, str]
    options: CsvOptions
    num_classes: int | None
    is_test: bool
    kind: Literal["vector", "text"] = "vector"
    booleans: frozenset[str] = frozenset()
    targets: tuple[str, ...] = ()
    said_merged: set[str] = dataclasses.field(default_factory=set, compare=False)

    num_rows = None

    @property
    def name(self) -> str:
        return f"csv:{self.path}"

    @property
    def num_bytes(self) -> int:
        return sum(os.path.getsize(file) for file in self.files)

    def with_types(self) -> "CsvTable":
        """The same, with what the columns of features hold.

        Those of several are told by the first rows: what comes later has to be like
        them. A single column is one of texts if one of its cells is no number.
        """
        first = self._first_rows()
        if first is None:
            return self
        booleans = frozenset(
            name
            for name in self.feature_names
            if pd.api.types.is_bool_dtype(first[name])
        )
        table = dataclasses.replace(self, booleans=booleans)
        if len(self.feature_names) > 1:
            return table
        try:
            for _ in table.parts({}):
                pass
        except UnusableError:
            return dataclasses.replace(table, kind="text", booleans=frozenset())
        return table

    def parts(self, state: Mapping[str, Any]) -> Iterator[Part]:
        jobs = min(_MOST_THREADS, host.usable_cores())
        blocks = self._blocks(state)
        sized = ((_MEMORY * len(item[1].data), item) for item in blocks)
        yield from ahead.in_order(self._part, sized, jobs)

    def refusal(self) -> RefusedError:
        lines = [
            Lines(file, lambda file=file: data_rows(file, self.options))
            for file in self.files
        ]
        diagnose_all(self.path, lines, self.names, self.roles, self.num_classes)
        return tables.unknown_refusal(self, "Write it again with DataFrame.to_csv.")

    def _blocks(
        self, state: Mapping[str, Any]
    ) -> Iterator[tuple[int, csv_blocks.Block, int]]:
        """Number of the file, block, and bytes of the files that were read."""
        first, offset = state.get("file", 0), state.get("offset", 0)
        read = sum(os.path.getsize(file) for file in self.files[:first])
        for number, file in enumerate(self.files[first:], first):
            try:
                for block in csv_blocks.blocks(file, self.options.delimiter, offset):
                    yield number, block, read + block.bytes_read
            except DAMAGED as error:
                raise UnusableError from error
            read += os.path.getsize(file)
            offset = 0

    def _part(self, item: tuple[int, csv_blocks.Block, int]) -> Part:
        number, block, bytes_read = item
        dtype = object if self.kind == "text" else np.float64
        # Told to read True and False it would take 1 and 0, too.
        numbers = [n for n in self.feature_names if n not in self.booleans]
        dtypes = dict.fromkeys(numbers, dtype)
        frame = self._frame(block, dtypes)
        num_numbers = 0
        if self.kind == "text":
            features, num_numbers = _texts(frame[self.feature_names[0]])
        else:
            features = self._numbers(frame, block)
        state = {"file": number, "offset": block.end}
        if self.targets:
            cells = frame[list(self.targets)].fillna("").to_numpy(object)
            none = np.empty(0, np.int64)
            return Part(features, none, [], state, bytes_read, num_numbers, cells)
        codes, labels = pd.factorize(frame[self.label])
        if (codes < 0).any():  # a short row, as pandas 2 reads it
            raise UnusableError
        labels = [str(label) for label in labels]
        codes = codes.astype(np.int64, copy=False)
        return Part(features, codes, labels, state, bytes_read, num_numbers)

    def _numbers(self, frame: pd.DataFrame, block: csv_blocks.Block) -> np.ndarray:
        """float32 of shape (rows, columns)."""
        features = np.empty((len(frame), len(self.feature_names)), dtype=np.float32)
        is_bool = pd.api.types.is_bool_dtype
        if len(frame) and not all(is_bool(frame[name]) for name in self.booleans):
            raise UnusableError
        for index, name in enumerate(self.feature_names):
            with np.errstate(over="ignore"):
                features[:, index] = frame[name]
        if not np.isfinite(features).all():
            raise UnusableError
        if any(word in block.data for word in _BOOLEANS):
            self._refuse_booleans(features, block)
        if not self.is_test:
            columns = {name: frame[name].to_numpy() for name in self.feature_names}
            csv_faults.say_merged(self.path, columns, features, self.said_merged)
        return features

    def _refuse_booleans(self, features: np.ndarray, block: csv_blocks.Block) -> None:
        """pandas takes True for 1 where all that it reads is True, False, 1 or 0."""
        doubtful = [
            name
            for name, column in zip(self.feature_names, features.T, strict=True)
            if name not in self.booleans and ((column == 0) | (column == 1)).all()
        ]
        if doubtful and len(features):
            others = set(self.names) - set(doubtful)
            frame = self._frame(block, dict.fromkeys(others, object))
            for name in doubtful:
                is_number = pd.api.types.is_numeric_dtype(frame[name])
                if not is_number or pd.api.types.is_bool_dtype(frame[name]):
                    raise UnusableError

    def _first_rows(self) -> pd.DataFrame | None:
        """As pandas reads them when nothing is told of the columns of features."""
        try:
            for _, block, _ in self._blocks({}):
                if len(frame := self._frame(block, {})):
                    return frame
        except UnusableError:
            pass  # It is told when it is read.
        return None

    def _frame(
        self, block: csv_blocks.Block, dtypes: Mapping[str, Any]
    ) -> pd.DataFrame:
        """A block as pandas reads it; all columns are text but those of features."""
        is_first, options = block.start == 0, self.options
        has_header = is_first and not options.no_header
        others = (name for name in self.names if name not in self.feature_names)
        count = len(self.names)
        widths = csv_blocks.widths(block.data, options.delimiter)
        # pandas would take a long first row for one with an index, and shift others.
        if max(itertools.islice(widths, 1 + has_header), default=count) > count:
            raise UnusableError
        try:
            frame = csv_frame.frame_of(
                io.BytesIO(block.data),
                self.names,
                dict.fromkeys(others, object) | dict(dtypes),
                options,
                has_header=has_header,
                encoding="utf-8-sig" if is_first else "utf-8",
            )
        except ValueError as error:
            raise UnusableError from error
        if csv_frame.may_be_padded(frame, self.names, self.roles):
            widths = csv_blocks.widths(block.data, options.delimiter)
            if any(width != count for width in widths):
                raise UnusableError
        return frame


def _texts(column: pd.Series) -> tuple[np.ndarray, int]:
    """Texts as an object array, and how many of them are numbers."""
    texts = csv_frame.texts(column)
    if texts is None:
        raise UnusableError
    numbers = pd.notna(pd.to_numeric(texts, errors="coerce"))
    return texts, int(numbers.sum())
