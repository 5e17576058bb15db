"""CSV and Parquet files as data: plain numbers as ever, all else as it stands."""

import dataclasses
import functools
import os
from collections.abc import Sequence

import numpy as np

from kerascale.config import TrainingConfig
from kerascale.config.fields import to_dict
from kerascale.config.tasks import OF_CLASSES
from kerascale.datasets import memory, targets, targets_of_texts
from kerascale.datasets.raw import Kind, RawData, Split
from kerascale.datasets.reading import read
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.datasets.sources.label_checks import check_class_count
from kerascale.datasets.sources.table_columns import (
    chosen_columns,
    label_columns,
    without_targets,
)
from kerascale.datasets.tables import frames, inference, like_training, notes, told
from kerascale.errors import RefusedError, TooLargeError

# Of files: up to here all cells are looked at, before anything is decided.
_SMALL_BYTES = 32 * 2**20
# That a byte of a file takes as cells of text.
_BYTES_IN_MEMORY = 12


def load(
    config: TrainingConfig, kinds: Sequence[Kind], tasks: Sequence[str]
) -> RawData:
    """The table that a configuration names.

    Where all columns of features hold numbers without gaps, or one holds texts, it is
    read as ever, into the same numbers. Else its cells are kept as texts, with what
    each column was taken for.

    Args:
        config: See `TrainingConfig`.
        kinds: What the recipe's model takes.
        tasks: What it can be asked for.

    Raises:
        RefusedError: With everything that is wrong with the table.
    """
    table = _Opened(config)
    decision = table.decide()
    targets.refuse_other_task(decision.task, tasks, config.dataset)
    of_classes = decision.task in OF_CLASSES
    if not (of_classes and table.is_plain()):
        raw = table.read(decision, kinds)
        if raw is not None:
            decision.say(config.task)
            return raw
    try:
        raw = _read_plain(config)
    except TooLargeError:
        raise
    except RefusedError:
        # Of a large table no more than the first rows were looked at.
        raw = table.read(decision, kinds) if table.is_large else None
        if raw is None:
            raise
        decision.say(config.task)
        return raw
    decision.say(config.task)
    raw = dataclasses.replace(raw, task=decision.task, is_told=True)
    notes.on_numbers(raw, config.label)
    return raw


def _read_plain(config: TrainingConfig) -> RawData:
    return read(
        config.dataset,
        label=config.label,
        num_classes=config.num_classes,
        csv_options=CsvOptions.of(to_dict(config)),
        test_data=config.test_data,
        held_out_fraction=config.validation_fraction,
    )


class _Opened:
    """A table whose columns are known."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.prefix, _, path = config.dataset.partition(":")
        self.path = os.path.expanduser(path)
        fields = to_dict(config)
        self.file = told.file_of(config.columns)
        if self.file is not None:
            fields["columns"] = []
        self.options = CsvOptions.of(fields)
        self.names = frames.names_of(self.prefix, self.path, self.options)
        self.labels = label_columns(config.label, self.names)
        first = self.labels[0] if self.labels else config.label
        chosen = chosen_columns(self.path, self.names, first, self.options)
        self.features = without_targets(self.path, chosen, self.labels)
        self.num_bytes = frames.num_bytes(self.prefix, self.path)
        if self.is_large:  # Its labels alone fit wherever it can be trained on.
            table = frames.read(self.prefix, self.path, self.labels, self.options)
        else:
            table = self.table
        self.targets = frames.stripped(table.cells(self.labels))

    @property
    def is_large(self) -> bool:
        """Whether its cells are not kept as texts before that has to be."""
        return self.num_bytes > _SMALL_BYTES

    @functools.cached_property
    def table(self) -> frames.TextTable:
        """All rows, as texts.

        Raises:
            TooLargeError: If there is no memory for them.
        """
        memory.refuse_too_much(
            f"{self.prefix}:{self.path}", self.num_bytes * _BYTES_IN_MEMORY, 0
        )
        columns = (*self.features, *self.labels)
        return frames.read(self.prefix, self.path, columns, self.options)

    def decide(self) -> targets.Decision:
        """The task, by the label columns."""
        asked, count = self.config.task, len(self.labels)
        if count > 1 and asked in OF_CLASSES:
            raise RefusedError(
                f"label: expected one column for --task {asked}. Received: {count}: "
                f"{', '.join(self.labels)}. Take --task regression or multilabel."
            )
        return targets.decide(asked, self.targets, self.labels, self.config.num_classes)

    def is_plain(self) -> bool:
        """Whether it can be read as ever, as far as cells tell."""
        if self.file is not None:
            return False
        if len(self.features) == 1:
            return True
        if not self.is_large:
            return all(each.is_plain for each in self._looked())
        first = frames.read(
            self.prefix, self.path, self.features, self.options, is_peek=True
        )
        cells = first.cells(self.features)
        return all(each.is_plain for each in inference.look(cells, self.features, {}))

    def _looked(self) -> list[inference.Looked]:
        if not hasattr(self, "_found"):
            said = {}
            if self.file is not None:
                said = told.read(self.file, self.features)
            cells = self.table.cells(self.features)
            self._found = inference.look(cells, self.features, said)
        return self._found

    def read(self, decision: targets.Decision, kinds: Sequence[Kind]) -> RawData | None:
        """The data; None: it is to be read as ever, which tells what is wrong."""
        looked = self._looked()
        kind = self._kind(looked, kinds)
        if kind is None:
            if decision.task in OF_CLASSES and self.file is None:
                return None
            self._refuse_strange(looked)
        columns = tuple(each.column for each in looked)
        if kind == "text":
            columns = ()
        if kind == "table" and "table" not in kinds:
            raise RefusedError(
                f"dataset: expected columns of numbers without gaps for this recipe. "
                f"Received: {self.config.dataset}, with words or gaps in its columns. "
                "Take mlp, rnn or transformer."
            )
        if kind == "table":
            notes.on_columns(looked)
        labels, class_names, names = self._labels(decision)
        features = like_training.features(
            kind, self.table.cells(self.features), self.features
        )
        raw = RawData(
            name=self.config.dataset,
            kind=kind,
            class_names=class_names,
            train=Split(features, labels),
            feature_names=self.features,
            task=decision.task,
            is_told=decision.task in ("classification", "binary"),
            target_names=names,
            columns=columns,
        )
        notes.on_leaks(raw, self.labels)
        if self.config.test_data is None:
            return raw
        return dataclasses.replace(raw, test=self._test(raw, decision))

    def _kind(
        self, looked: list[inference.Looked], kinds: Sequence[Kind]
    ) -> Kind | None:
        """What the features are; None: something in them is strange."""
        if any(each.strange for each in looked):
            return None
        if self.file is None and all(each.is_plain for each in looked):
            return "vector"
        if len(looked) == 1 and self.file is None and not looked[0].is_plain:
            texts = self.table.cells(self.features)[:, 0]
            # Few different texts are texts for who reads texts, as with classes.
            words = ("text", "category") if "text" in kinds else ("text",)
            is_text = looked[0].column.kind in words
            if is_text and all(str(text).strip() for text in texts):
                return "text"
        if all(each.column.kind == "ignored" for each in looked):
            raise RefusedError(
                f"{self.path}: expected a column to learn from. Received: "
                + ", ".join(f"{e.column.name} ({e.column.why})" for e in looked)
                + ". Say with --columns FILE what they are."
            )
        return "table"

    def _refuse_strange(self, looked: list[inference.Looked]) -> None:
        problems = [
            f"{self.path}, column {each.column.name!r}: expected numbers, or words. "
            f"Received: words among numbers, such as {listing(each.strange)}"
            ". Correct them, or say in a file for --columns that they are gaps: "
            f"[columns.{each.column.name!r}] gaps = [...], or type = 'category'"
            for each in looked
            if each.strange
        ]
        raise RefusedError(problems, heading=f"{self.path} cannot be used")

    def _labels(
        self, decision: targets.Decision
    ) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
        """Labels, class names and target names."""
        if decision.task in OF_CLASSES:
            labels, names = targets_of_texts.classes_of_texts(
                self.targets[:, 0],
                self.path,
                self.labels[0],
                self.config.num_classes,
            )
            where = f"{self.path}, column {self.labels[0]!r}"
            check_class_count(where, len(np.unique(labels)))
            return labels, names, ()
        labels, names = targets_of_texts.of_texts(
            decision.task, self.targets, self.labels, self.path
        )
        return labels, (), names

    def _test(self, raw: RawData, decision: targets.Decision) -> Split:
        prefix = f"{self.prefix}:"
        path = os.path.expanduser(self.config.test_data.removeprefix(prefix))
        return like_training.rows_like(
            prefix + path,
            raw.feature_names,
            raw.columns,
            raw.kind,
            self.options,
            like_training.Labels(
                decision.task, self.labels, raw.class_names, raw.target_names
            ),
        )
