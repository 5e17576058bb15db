"""What is made after the last row: labels, splits, moments, and the manifest."""

import dataclasses
import hashlib
import json
import pathlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascale.datasets import memory
from kerascale.datasets.packed import checksums, layout
from kerascale.datasets.packed.labels import targets_of, write_labels
from kerascale.datasets.packed.manifest import Manifest
from kerascale.datasets.packed.progress import SYNC_SECONDS, Progress
from kerascale.datasets.packed.rows import Facts, RowSource
from kerascale.datasets.packed.splitting import split_rows
from kerascale.datasets.packed.training_rows import TrainingRows
from kerascale.runtime import atomic_files, durable_files
from kerascale.runtime.console import say

if TYPE_CHECKING:
    from kerascale.datasets.packed.packing import Watcher


def finish(
    source: RowSource,
    folder: pathlib.Path,
    progress: Progress,
    watcher: "Watcher | None" = None,
) -> None:
    """Makes the rest of a packed data set. A kill costs less than a minute.

    Args:
        source: Of the rows.
        folder: Where they are.
        progress: Which has the facts of the source.
        watcher: Who sees how it goes.

    Raises:
        RefusedError: If a split has no rows, or the training rows no second class.
        OSError: If something cannot be written.
    """
    facts = Facts(**progress.facts)
    fraction = progress.options["validation_fraction"]
    given = [name for name in source.given_splits if name not in facts.unused_splits]
    if facts.target_names:
        labels = targets_of(folder, progress, facts)
    else:
        labels = write_labels(folder, progress, facts)
    splits = split_rows(
        folder,
        source.name,
        source.kind,
        progress.runs,
        labels,
        given=given,
        fraction=fraction,
        num_classes=len(facts.class_names),
    )
    mean, variance = _moments(source, folder, progress, splits.counts["train"], watcher)
    made = Manifest(
        source=source.name,
        identity=progress.identity,
        options=progress.options,
        kind=source.kind,
        encoding=source.encoding,
        dtype=progress.dtype,
        shape=None if progress.shape is None else tuple(progress.shape),
        num_rows=progress.rows,
        class_names=tuple(facts.class_names),
        feature_names=tuple(facts.feature_names),
        given_splits=tuple(given),
        held_out_fraction=fraction,
        counts=splits.counts,
        class_counts=splits.class_counts,
        mean=mean,
        variance=variance,
        shards=tuple(progress.shards),
        vocabulary=facts.vocabulary,
        skipped=tuple(facts.skipped),
        image_shape=None if facts.image_shape is None else tuple(facts.image_shape),
        ranges=splits.ranges,
        sizes=_sizes(folder),
        task=facts.task,
        target_names=tuple(facts.target_names),
        columns=tuple(facts.columns),
        examples=dict(facts.examples),
    )
    made = dataclasses.replace(made, fingerprint=_fingerprint(folder, made))
    with atomic_files.replacing(folder / layout.MANIFEST, durable=True) as temporary:
        temporary.write_text(made.to_json(), encoding="utf-8")
    durable_files.sync_folder(folder)


def _moments(
    source: RowSource,
    folder: pathlib.Path,
    progress: Progress,
    num_train: int,
    watcher: "Watcher | None",
) -> tuple[Any, Any]:
    """Those of the training rows, as in memory: to the last bit."""
    if source.encoding is not None or source.kind not in ("image", "vector"):
        return None, None
    rows = TrainingRows(folder, progress.shape, progress.dtype, num_train)
    sums = None
    if progress.sums is not None:
        sums = memory.Sums(
            **{
                name: np.asarray(value) if isinstance(value, list) else value
                for name, value in progress.sums.items()
            }
        )
    saved = time.monotonic()
    num_parts = 2 * sum(1 for _ in memory.parts(rows))

    def keep(sums: memory.Sums) -> None:
        nonlocal saved
        if watcher is not None:
            done = sums.num_totalled + sums.num_squared
            watcher.finishing("mean and variance", done / num_parts)
        if time.monotonic() - saved >= SYNC_SECONDS:
            # Not by `asdict`, which copies arrays and leaves them arrays.
            progress.sums = {k: _plain(v) for k, v in vars(sums).items()}
            progress.save(folder)
            saved = time.monotonic()

    mean, variance = memory.moments(
        rows, per_feature=source.kind == "vector", sums=sums, keep=keep
    )
    variance, constant = memory.without_constants(mean, variance)
    if source.kind == "vector" and constant.any():
        names = progress.facts["feature_names"]
        numbers = [names[i] if names else str(i) for i in np.flatnonzero(constant)]
        say(f"constant in the training examples: feature {', '.join(numbers[:20])}")
    return mean.tolist(), variance.tolist()


def _sizes(folder: pathlib.Path) -> dict[str, int]:
    """Of all files that have checksums and stay."""
    ending = layout.CHECKSUMS.format(file="")
    names = sorted(path.name for path in folder.glob(f"*{ending}"))
    names = [name.removesuffix(ending) for name in names]
    return {n: (folder / n).stat().st_size for n in names if n != layout.CODES}


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _fingerprint(folder: pathlib.Path, made: Manifest) -> str:
    """sha256 of all that decides what is trained on, and in which split."""
    fields = dataclasses.asdict(made)
    for name in ("source", "identity", "options", "skipped", "sizes", "fingerprint"):
        del fields[name]
    if not made.target_names:  # As it was before there were any.
        del fields["task"], fields["target_names"]
    del fields["examples"]
    if not made.columns:
        del fields["columns"]
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    for name in made.sizes:
        if name != layout.FILES:
            sums = checksums.path_of(folder / name)
            digest.update(name.encode() + b"\0" + sums.read_bytes())
    return digest.hexdigest()
