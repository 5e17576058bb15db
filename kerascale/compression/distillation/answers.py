"""A teacher's answers for all training examples, kept on disk."""

import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kerascale.compression.distillation import answer_table, text_answers
from kerascale.compression.distillation.answer_table import Layout, Table
from kerascale.compression.distillation.distill import with_answers
from kerascale.compression.distillation.teacher import Teacher
from kerascale.datasets import Datasets
from kerascale.datasets.gathers import FromArrays, Windows, traced_as_it_is
from kerascale.datasets.source import Source
from kerascale.engine.collectives import consensus
from kerascale.errors import RefusedError
from kerascale.runtime import heartbeat
from kerascale.runtime.cache_dir import cache_dir
from kerascale.runtime.console import duration, say

_ROWS_AT_ONCE = 256
_FOLDER = "teacher_answers"
# Between two lines of progress.
_SECONDS = 15.0


def attached(
    datasets: Datasets,
    teacher: Teacher,
    hashes: Sequence[str],
    fields: dict[str, Any],
    strategy: tf.distribute.Strategy | None = None,
) -> Datasets:
    """The data, whose training labels come with the teacher's answers.

    Args:
        datasets: Of examples that are the same in each epoch, or of windows of a text.
        teacher: Who answers, unless the answers are in the cache folder.
        hashes: sha256 of each of its models.
        fields: Of the configuration, which says how the data is read.
        strategy: Of several workers the chief has the teacher answer, and the others
            read that; those that do not see its folder have it answer themselves.

    Raises:
        RefusedError: If examples have no place, or answers do not fit on the disk.
    """
    train = datasets.train
    if not train.is_indexed:
        raise RefusedError(
            "teacher_cache: expected training examples that are the same in each "
            "epoch. Received: a tf.data.Dataset, whose examples have no place. Leave "
            "teacher_cache out: the teacher then answers in each step."
        )
    layout = _layout(datasets, fields.get("teacher_cache_top"))
    folder = cache_dir() / _FOLDER / _key(datasets, hashes, fields, layout)
    strategy = strategy or tf.distribute.get_strategy()
    asked: list[Table] = []

    def have_answers() -> str:
        table = answer_table.read(folder, layout)
        if table is None:
            table = _write(folder, layout, _answers(teacher, train, layout))
        else:
            say(f"teacher: {layout.rows:,} answers from {folder}")
        asked.append(table)
        return "there"

    consensus.from_chief(strategy, have_answers)
    if not asked:
        have_answers()
    return dataclasses.replace(datasets, train=with_table(train, asked[0]))


def _write(
    folder: Any, layout: Layout, answers: Callable[[], Iterator[np.ndarray]]
) -> Table:
    say(f"teacher: {layout.text()}, into {folder}")
    began = time.monotonic()
    try:
        table = answer_table.write(folder, layout, answers)
    except OSError as error:
        say(f"note: {folder} cannot be written ({error}); answers are kept in memory")
        table = answer_table.in_memory(layout, answers)
    took = duration(time.monotonic() - began)
    say(f"teacher: {layout.rows:,} answers in {took}")
    return table


def _layout(datasets: Datasets, top: int | None) -> Layout:
    train, info = datasets.train, datasets.info
    if isinstance(train.gather, Windows):
        rows = text_answers.num_rows(train.gather)
        return Layout(rows, info.vocabulary_size, top, "float16")
    dtype = "float32" if top is None else "float16"
    return Layout(train.num_examples, max(1, info.num_outputs), top, dtype)


def with_table(batches: Any, table: Table) -> Any:
    """Batches whose labels come with an answer each, or for each token."""
    plain = batches.plain_gather or batches.gather
    inner = batches.gather
    if isinstance(inner, FromArrays) and inner.is_in_memory and table.ids is None:
        x, y, *weights = inner.arrays
        gather = FromArrays((x, with_answers(y, table.values), *weights))
    else:

        def gather(indices: tf.Tensor, epoch: tf.Tensor) -> Any:
            x, y, *weights = inner(indices, epoch)
            rows = indices
            if isinstance(inner, Windows):
                starts = inner.starts(indices, epoch) - inner.part[0]
                rows = starts[:, None] + tf.range(inner.length, dtype=tf.int64)
            return x, with_answers(y, table.rows(rows)), *weights

        gather = traced_as_it_is(gather, inner)
    return dataclasses.replace(batches, gather=gather, plain_gather=plain)


def with_rows(batches: Any, answers: np.ndarray) -> Any:
    """Batches whose labels come with a row of `answers` each."""
    rows, classes = answers.shape
    with tf.device("CPU"):
        values = tf.constant(answers)
    layout = Layout(rows, classes, None, str(answers.dtype))
    return with_table(batches, Table(layout, values, None, False))


def _answers(
    teacher: Teacher, train: Source, layout: Layout
) -> Callable[[], Iterator[np.ndarray]]:
    if isinstance(train.gather, Windows):
        pieces = functools.partial(text_answers.ask, teacher, train.gather)
    else:
        pieces = functools.partial(_ask, teacher, train.for_evaluation())
    return lambda: _shown(pieces(), layout.rows)


def _ask(teacher: Teacher, source: Source) -> Iterator[np.ndarray]:
    source = dataclasses.replace(source, batch_size=_ROWS_AT_ONCE)
    answer = tf.function(teacher, autograph=False, reduce_retracing=True)
    for x, _ in source.dataset():
        yield answer(x).numpy()


def _shown(pieces: Iterator[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """The same, with a line about it now and then."""
    done, last = 0, time.monotonic()
    for piece in pieces:
        yield piece
        done += len(piece)
        if time.monotonic() - last > _SECONDS:
            last = time.monotonic()
            heartbeat.beat(heartbeat.STARTING)
            say(f"teacher: {done:,} of {rows:,} answers")


def _key(
    datasets: Datasets, hashes: Sequence[str], fields: dict[str, Any], layout: Layout
) -> str:
    """For each teacher, and each set of training examples in their order."""
    info = datasets.info
    digest = hashlib.sha256()
    # How examples are read out of data of one fingerprint, and split.
    how = {
        name: fields.get(name)
        for name in (
            "dataset",
            "label",
            "columns",
            "drop_columns",
            "validation_fraction",
            "image_size",
            "vocabulary_size",
            "tokenizer",
            "max_length",
        )
    }
    shape = dataclasses.asdict(layout)
    known = [sorted(hashes), info.fingerprint, info.num_examples, how, shape]
    digest.update(json.dumps(known, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:32]
