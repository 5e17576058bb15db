"""A teacher's answers for all training examples, kept on disk."""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kerascale.compression.distillation.distill import with_answers
from kerascale.compression.distillation.teacher import Teacher
from kerascale.datasets import Datasets
from kerascale.datasets.gathers import FromArrays, traced_as_it_is
from kerascale.datasets.source import Source
from kerascale.errors import RefusedError
from kerascale.runtime import atomic_files
from kerascale.runtime.cache_dir import cache_dir
from kerascale.runtime.console import duration, say
from kerascale.runtime.free_memory import available_bytes

_ROWS_AT_ONCE = 256
_FOLDER = "teacher_answers"


def attached(
    datasets: Datasets, teacher: Teacher, hashes: Sequence[str], fields: dict[str, Any]
) -> Datasets:
    """The data, whose training labels come with the teacher's answers.

    Args:
        datasets: Of examples that are the same in each epoch.
        teacher: Who answers, unless the answers are in the cache folder.
        hashes: sha256 of each of its models.
        fields: Of the configuration, which says how the data is read.

    Raises:
        RefusedError: If epochs have examples of their own, or the answers do not fit in
            memory.
    """
    train = datasets.train
    if not train.is_indexed or datasets.info.kind == "corpus":
        what = "windows of a text, which begin elsewhere in each epoch"
        if not train.is_indexed:
            what = "a tf.data.Dataset, whose examples have no place"
        raise RefusedError(
            "teacher_cache: expected training examples that are the same in each "
            f"epoch. Received: {what}. Leave teacher_cache out: the teacher then "
            "answers in each step."
        )
    _refuse_too_many(train.num_examples, datasets.info.num_classes)
    path = cache_dir() / _FOLDER / f"{_key(datasets, hashes, fields)}.npy"
    answers = _read(path, train.num_examples)
    if answers is None:
        began = time.monotonic()
        answers = _ask(teacher, train.for_evaluation())
        took = duration(time.monotonic() - began)
        place = path if _keep(path, answers) else "memory alone"
        say(f"teacher: {len(answers):,} answers in {took}, kept in {place}")
    else:
        say(f"teacher: {len(answers):,} answers from {path}")
    return dataclasses.replace(datasets, train=with_rows(train, answers))


def with_rows(batches: Any, answers: np.ndarray) -> Any:
    """Batches whose labels come with a row of `answers` each."""
    with tf.device("CPU"):
        table = tf.constant(answers)
    plain = batches.plain_gather or batches.gather
    inner = batches.gather
    if isinstance(inner, FromArrays) and inner.is_in_memory:
        x, y, *weights = inner.arrays
        gather = FromArrays((x, with_answers(y, table), *weights))
    else:

        def gather(indices: tf.Tensor, epoch: tf.Tensor) -> Any:
            x, y, *weights = inner(indices, epoch)
            return x, with_answers(y, tf.gather(table, indices)), *weights

        gather = traced_as_it_is(gather, inner)
    return dataclasses.replace(batches, gather=gather, plain_gather=plain)


def _ask(teacher: Teacher, source: Source) -> np.ndarray:
    source = dataclasses.replace(source, batch_size=_ROWS_AT_ONCE)
    answer = tf.function(teacher, autograph=False, reduce_retracing=True)
    return np.concatenate([answer(x).numpy() for x, _ in source.dataset()])


def _key(datasets: Datasets, hashes: Sequence[str], fields: dict[str, Any]) -> str:
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
            "max_length",
        )
    }
    known = [sorted(hashes), info.fingerprint, info.num_examples, how]
    digest.update(json.dumps(known, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:32]


def _read(path: pathlib.Path, rows: int) -> np.ndarray | None:
    """What was kept; None where nothing was, or not all of it."""
    try:
        expected = path.with_suffix(".sha256").read_text(encoding="ascii").strip()
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            say(f"note: {path} is damaged; the teacher answers again")
            return None
        answers = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        return None
    return answers if len(answers) == rows else None


def _keep(path: pathlib.Path, answers: np.ndarray) -> bool:
    """Writes them, if the cache folder can be written."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.replacing(path, shared=True) as temporary:
            with temporary.open("wb") as file:
                np.save(file, answers, allow_pickle=False)
            sha256 = hashlib.sha256(temporary.read_bytes()).hexdigest()
        mark = path.with_suffix(".sha256")
        with atomic_files.replacing(mark, shared=True) as temporary:
            temporary.write_text(f"{sha256}\n", encoding="ascii")
        return True
    return False


def _refuse_too_many(rows: int, classes: int) -> None:
    needed, room = 2 * rows * max(1, classes) * 4, available_bytes()
    if needed > room:
        raise RefusedError(
            "teacher_cache: expected answers that fit in memory. Received: "
            f"{rows:,} x {classes:,}, which need {needed / 2**30:.1f} GiB where "
            f"{room / 2**30:.1f} GiB are free. Leave teacher_cache out."
        )
