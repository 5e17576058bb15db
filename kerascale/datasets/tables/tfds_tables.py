"""Data sets of TensorFlow Datasets as a training reads them: tables among them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kerascale.config import TrainingConfig
from kerascale.datasets.info import DataInfo
from kerascale.datasets.raw import Kind, RawData, Split
from kerascale.datasets.sources import tfds_labels, tfds_source
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.class_names import with_classes_of
from kerascale.datasets.sources.csv_faults import say_merged
from kerascale.datasets.sources.tfds_cells import texts_of
from kerascale.datasets.sources.tfds_features import Asked
from kerascale.datasets.sources.tfds_leaf import Leaf
from kerascale.datasets.sources.tfds_prepared import Prepared, prepare
from kerascale.datasets.sources.tfds_source import Examples
from kerascale.datasets.tables import frames, inference, like_training, notes, told
from kerascale.errors import RefusedError


def load(
    config: TrainingConfig, kinds: Sequence[Kind], tasks: Sequence[str]
) -> RawData:
    """The data set that a configuration names.

    A table of numbers without gaps is one of vectors; of others the cells are kept as
    the texts that a file would have, with what each column was taken for.

    Args:
        config: See `TrainingConfig`; `image_size` of `ImageConfig`.
        kinds: What the recipe's model takes.
        tasks: What it can be asked for.

    Raises:
        RefusedError: With everything that is wrong with its features or labels.
    """
    file = told.file_of(config.columns)
    columns = () if file is not None else config.columns
    asked = Asked(config.label, columns, config.drop_columns)
    prepared = prepare(config.dataset, asked)
    task = config.task if len(tasks) > 1 else "classification"
    where = f"tfds:{prepared.name}"
    tfds_labels.refuse_other_task(where, prepared.chosen.labels, task)
    prepared.chosen.say_unread(where)
    is_table = prepared.chosen.kind == "table"
    if file is not None and not is_table:
        raise RefusedError(
            f"columns: expected names of features. Received: {file}, with "
            f"{config.dataset}, which is {prepared.chosen.kind} data. Leave it out."
        )
    size = None if is_table else getattr(config, "image_size", None)
    examples = tfds_source.read_examples(prepared, size)
    numbers = examples
    if is_table:
        numbers = None
        if file is None:
            numbers = tfds_source.as_numbers(prepared.chosen, examples)
    if numbers is None:
        return _of_cells(prepared, examples, config, kinds, task)
    raw = tfds_source.raw_of(prepared, numbers, task, config.num_classes)
    if is_table:
        wide = {k: v.astype(np.float64) for k, v in examples["train"].features.items()}
        say_merged(raw.name, wide, raw.train.features, set())
        notes.on_numbers(raw, _label_names(prepared.chosen.labels)[0])
    return raw


def _label_names(labels: Sequence[Leaf]) -> tuple[str, ...]:
    return tuple(leaf.name for leaf in labels)


def _cells(leaves: Sequence[Leaf], columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Texts, an object array of shape (rows, columns)."""
    return np.stack([texts_of(leaf, columns[leaf.name]) for leaf in leaves], axis=1)


def _of_cells(
    prepared: Prepared,
    examples: Mapping[str, Examples],
    config: TrainingConfig,
    kinds: Sequence[Kind],
    task: Any,
) -> RawData:
    chosen, where = prepared.chosen, f"tfds:{prepared.name}"
    names = tuple(leaf.name for leaf in chosen.features)
    if "table" not in kinds:
        raise RefusedError(
            "dataset: expected features of numbers without gaps for this recipe. "
            f"Received: {where}, with words, classes or gaps. Take mlp, rnn or "
            "transformer."
        )
    file = told.file_of(config.columns)
    said = {} if file is None else told.read(file, names)
    cells = {
        split: Examples(_cells(chosen.features, found.features), found.labels)
        for split, found in examples.items()
    }
    looked = inference.look(cells["train"].features, names, said)
    _refuse_unusable(where, looked)
    notes.on_columns(looked)
    columns = tuple(each.column for each in looked)
    for split, found in cells.items():
        if split != "train":
            inference.unfit(columns, found.features, names, f"{where}, {split}")
    raw = tfds_source.raw_of(prepared, cells, task, config.num_classes, columns)
    notes.on_leaks(raw, raw.target_names or _label_names(chosen.labels))
    return raw


def _refuse_unusable(where: str, looked: Sequence[inference.Looked]) -> None:
    strange = [each for each in looked if each.strange]
    if strange:
        raise RefusedError(
            [
                f"column {each.column.name!r}: expected numbers, or words. Received: "
                f"words among numbers, such as {listing(each.strange)}. Say in a file "
                f"for --columns that they are gaps: [columns.{each.column.name!r}] "
                "gaps = [...], or type = 'category'"
                for each in strange
            ],
            heading=f"{where} cannot be used",
        )
    if all(each.column.kind == "ignored" for each in looked):
        raise RefusedError(
            f"{where}: expected a column to learn from. Received: "
            + ", ".join(f"{e.column.name} ({e.column.why})" for e in looked)
            + ". Say with --columns FILE what they are."
        )


def rows_like(
    name: str, info: DataInfo, vectorizer: Any, label: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of another data set as those of a training on a table: to evaluate.

    They are its test examples, or all where it has none.

    Args:
        name: `tfds:NAME`.
        info: What is known of the data of the training.
        vectorizer: The run's layer from cells to numbers.
        label: Feature of the labels; None: the usual one.

    Returns:
        Features as the model takes them; and class indices, or float32 of shape (rows,
        targets).

    Raises:
        RefusedError: If features are not there, or hold something else.
    """
    wanted = tuple(column.name for column in vectorizer.read)
    prepared = prepare(name, Asked(label, wanted, is_table=True))
    chosen, examples = prepared.chosen, tfds_source.read_examples(prepared)
    split = "test" if "test" in examples else "train"
    features, values = examples[split]
    names = tuple(leaf.name for leaf in chosen.features)
    frame = pd.DataFrame(_cells(chosen.features, features), columns=list(names))
    table = frames.TextTable(name, names, frame, "row")
    rows = like_training.features_like(table, info, vectorizer, name)
    found = tfds_labels.like_training(name, chosen.labels, info)
    labels = found.labels(values, split)
    if info.class_names and found.class_names != info.class_names:
        own = Split(np.zeros((len(labels), 1)), labels)
        labels = with_classes_of(own, found.class_names, info.class_names, name).labels
    return rows, labels
