"""Rows of a table, whatever its files are; see `kerascale.datasets.sources.tables`."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascale.datasets.packed.rows import Facts, Rows, RowSource
from kerascale.datasets.packed.sources import table_targets, whole_tables
from kerascale.datasets.packed.sources.stamps import identity_of
from kerascale.datasets.packed.sources.table_targets import Targets
from kerascale.datasets.sources import tables
from kerascale.datasets.sources.class_names import indices_among, refuse_other_kind
from kerascale.datasets.sources.label_codes import LabelCodes
from kerascale.datasets.sources.tables import Table, UnusableError

if TYPE_CHECKING:
    from kerascale.datasets.packed.sources import SourceOptions


class TableRows:
    """The rows of a table, and behind them those of its test table.

    Args:
        train: The table.
        open_test: Opens the table of the test examples, with the columns that it is
            given; None: there is none.
        targets: What is to be told of each row, of the columns of `Table.targets`;
            None: its class.

    Raises:
        RefusedError: If the test table is of another kind.
    """

    def __init__(
        self,
        train: Table,
        open_test: Callable[[tuple[str, ...]], Table] | None = None,
        targets: Targets | None = None,
    ) -> None:
        self.name = train.name
        self.kind = train.kind
        self.encoding = "text" if train.kind == "text" else None
        self._tables = {"train": train}
        self._targets = targets
        if open_test is not None:
            test = open_test(train.feature_names)
            refuse_other_kind(train.name, train.kind, test.kind, test.path)
            self._tables["test"] = test
        self.given_splits = tuple(self._tables)
        counts = [table.num_rows for table in self._tables.values()]
        self.num_rows = None if None in counts else sum(counts)
        self.num_bytes = sum(table.num_bytes for table in self._tables.values())
        # Of the rows that were read: labels, and cells of text that are numbers.
        self._labels = {split: LabelCodes() for split in self._tables}
        self._numbers = dict.fromkeys(self._tables, 0)
        self._rows_read = dict.fromkeys(self._tables, 0)

    def identity(self) -> dict[str, Any]:
        return identity_of(f for table in self._tables.values() for f in table.files)

    def read(self, state: Mapping[str, Any]) -> Iterator[Rows]:
        splits = list(self._tables)
        known = state.get("labels", {})
        self._labels = {split: LabelCodes(known.get(split, ())) for split in splits}
        self._numbers = dict.fromkeys(splits, 0) | dict(state.get("numbers", {}))
        self._rows_read = dict.fromkeys(splits, 0) | dict(state.get("rows", {}))
        first = splits.index(state.get("split", "train"))
        place, bytes_before = state.get("place", {}), 0
        for number, split in enumerate(splits):
            table = self._tables[split]
            if number >= first:
                yield from self._rows(split, place, bytes_before)
                place = {}
            bytes_before += table.num_bytes

    def _rows(
        self, split: str, place: Mapping[str, Any], bytes_before: int
    ) -> Iterator[Rows]:
        table = self._tables[split]
        labels, order = self._labels[split], self._order(table)
        # Those of the test have codes of their own, behind those of the training.
        first_code = 0 if split == "train" else len(self._labels["train"])
        try:
            for part in table.parts(place):
                self._numbers[split] += part.num_numbers
                if self._targets is None:
                    own = labels.add(part.codes, part.labels) + first_code
                    tables.check_number(labels)
                else:
                    targets = self._targets._replace(path=table.path)
                    own = targets.of_cells(part.targets, self._rows_read[split])
                self._rows_read[split] += len(part.features)
                features = part.features if order is None else part.features[:, order]
                yield Rows(
                    features,
                    own,
                    split,
                    state=self._state(split, part.state),
                    bytes_read=bytes_before + part.bytes_read,
                )
        except UnusableError as error:
            raise table.refusal() from error
        # Before the rows of the next table: this one may be refused.
        if self._targets is None:
            tables.classes(table, labels, self._numbers[split])
        elif self._numbers[split] * 2 > self._rows_read[split]:
            raise table.refusal()

    def _order(self, table: Table) -> list[int] | None:
        """Columns of the test table in the order of the training."""
        names = self._tables["train"].feature_names
        if table.kind == "text" or table.feature_names == names:
            return None
        return [table.feature_names.index(name) for name in names]

    def _state(self, split: str, place: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "split": split,
            "place": dict(place),
            "labels": {name: labels.state() for name, labels in self._labels.items()},
            "numbers": dict(self._numbers),
            "rows": dict(self._rows_read),
        }

    def facts(self) -> Facts:
        """After the last row.

        Raises:
            RefusedError: If labels are no classes, or a test label is none of them.
        """
        names = self._tables["train"].feature_names
        if self._targets is not None:
            task, targets, _ = self._targets
            return Facts((), names, task=task, target_names=targets)
        orders: list[np.ndarray] = []
        class_names: tuple[str, ...] = ()
        for split, table in self._tables.items():
            labels = self._labels[split]
            found, order = tables.classes(table, labels, self._numbers[split])
            if split == "train":
                class_names = found
            else:
                counts = np.bincount(order, labels.counts, minlength=len(found))
                order = indices_among(found, counts, class_names, table.path)[order]
            orders.append(order)
        return Facts(class_names, names, np.concatenate(orders))


def opened(
    open_table: Callable[..., Table],
    prefix: str,
    rest: str,
    options: "SourceOptions",
) -> RowSource:
    """The rows of a table, and of the test table of the options.

    Args:
        open_table: Opens a table; takes a path and `is_test`.
        prefix: Of such tables, as in `csv:`; the test table may be without.
        rest: What is behind it.
        options: See `SourceOptions`.
    """
    whole = whole_tables.opened(prefix.removesuffix(":"), rest, options)
    if whole is not None:
        return whole
    targets = table_targets.decide(prefix.removesuffix(":"), rest, options)
    how = {"label": options.label, "num_classes": options.num_classes}
    if targets is not None:
        how = {"label": targets.names[0], "targets": targets.names}
    train = open_table(rest, **how, options=options.csv_options)
    if options.test_data is None:
        return TableRows(train, targets=targets)
    test = os.path.expanduser(options.test_data.removeprefix(prefix))

    def open_test(columns: tuple[str, ...]) -> Table:
        own = options.csv_options.only(columns)
        return open_table(test, **how, options=own, is_test=True)

    return TableRows(train, open_test, targets)
