"""Data that do not fit in memory, packed into the cache folder by themselves."""

import dataclasses
import json
import os
import pathlib
import shutil
import time
from collections.abc import Sequence
from typing import Any

from kerascale.config import TrainingConfig
from kerascale.config.fields import to_dict
from kerascale.config.tasks import OF_CLASSES, AskedTask, Task
from kerascale.datasets import cache
from kerascale.datasets.bundle import Datasets
from kerascale.datasets.packed import manifest, packing, sources
from kerascale.datasets.packed import progress as progresses
from kerascale.datasets.packed.opened import Packed
from kerascale.datasets.packed.sources import inapplicable
from kerascale.datasets.packed.training import prepare
from kerascale.datasets.packed.watching import Shown
from kerascale.datasets.raw import Kind
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.errors import RefusedError
from kerascale.runtime.cache_dir import VARIABLE, cache_dir
from kerascale.runtime.console import duration, live, say
from kerascale.runtime.free_memory import available_bytes

# How much memory a byte of a file takes that is read as a whole: cells become arrays of
# text, then numbers; a character a code point, then an id.
_BYTES_IN_MEMORY = {"text": 12}
# What a disk should have left.
_ROOM = 1.05
_GB = 1e9


def is_too_large(config: TrainingConfig) -> bool:
    """Whether a file could not be read into memory, as far as its size tells."""
    prefix, _, rest = config.dataset.partition(":")
    if prefix not in _BYTES_IN_MEMORY:
        return False
    try:
        size = os.path.getsize(os.path.expanduser(rest))
    except OSError:
        return False
    return size * _BYTES_IN_MEMORY[prefix] > available_bytes()


def pack_and_prepare(
    config: TrainingConfig,
    *,
    kinds: Sequence[Kind] | None,
    tasks: Sequence[Task],
    why: str,
) -> Datasets:
    """Packs the data of a configuration into the cache folder, once; its batches.

    Args:
        config: The recipe's configuration.
        kinds: As in `loading.prepare`.
        tasks: What the recipe's model can be asked for.
        why: The reason, for a person.

    Raises:
        RefusedError: If the data is not as expected, or the disk has no room.
        PackFailedError: If something came between. The same command goes on.
        StoppedError: On a signal. The same command goes on.
    """
    options = sources.SourceOptions(
        label=config.label,
        num_classes=config.num_classes,
        image_size=_packed_image_size(config),
        skip_damaged_share=config.skip_damaged_share,
        csv_options=CsvOptions.of(to_dict(config)),
        test_data=config.test_data,
        validation_fraction=config.validation_fraction,
        task=_task(config, tasks),
        **_tokenizer(config),
    )
    key = [config.dataset, options.of_rows()]
    if config.dataset.startswith("text:"):
        key.append(config.validation_fraction)
    name = cache.name_of("packed", key)
    folder = cache_dir() / name
    # Workers of one host wait for the one that packs.
    with cache.lock(name):
        _pack(config, options, folder, why)
    packed = Packed(config.dataset, folder, manifest.load(folder))
    return dataclasses.replace(prepare(packed, config, kinds=kinds), pack="always")


def _task(config: TrainingConfig, tasks: Sequence[Task]) -> AskedTask:
    """What is asked for: part of the folder's name only where rows depend on it."""
    asked = config.task if len(tasks) > 1 else "classification"
    if asked not in OF_CLASSES:
        return asked
    depends = config.dataset.partition(":")[0] in inapplicable.WITH_TARGETS
    return "classification" if depends else "auto"


def _tokenizer(config: Any) -> dict[str, Any]:
    """Options of a corpus."""
    if getattr(config, "tokenizer", "characters") == "characters":
        return {}
    names = ("tokenizer", "vocabulary_size")
    return {name: getattr(config, name) for name in names}


def _packed_image_size(config: Any) -> int | None:
    """Pictures stay as they are if windows are cut out of them; else one is decoded
    once, not in each epoch."""
    if getattr(config, "augment_resized_crop", 0.0):
        return None
    return getattr(config, "image_size", None)


def _pack(
    config: TrainingConfig,
    options: sources.SourceOptions,
    folder: pathlib.Path,
    why: str,
) -> None:
    source = sources.open_source(config.dataset, options)
    identity = json.loads(json.dumps(source.identity()))
    fraction, again = config.validation_fraction, False
    if packing.is_packed(folder):
        if manifest.load(folder).identity == identity:
            say(f"data: {config.dataset} is packed already, in {folder}")
            return
        say(f"data: {config.dataset} has changed since it was packed: packed again")
        again = True
    elif (begun := progresses.load(folder)) is not None:
        is_same = begun.options.get("validation_fraction") == fraction
        again = begun.identity != identity or not is_same
    size = _expected_bytes(source, options)
    text = "" if size is None else f", about {size / _GB:.2g} GB"
    say(
        f"data: {why}: it is packed into {folder}{text}, once, and read from there "
        "(--pack never: refused instead). The time left is shown"
    )
    if size is not None:
        _refuse_without_room(folder, int(size * _ROOM))
    began = time.monotonic()
    with live():
        made = packing.pack(
            source,
            folder,
            options=options.of_rows(),
            validation_fraction=fraction,
            again=again,
            watcher=Shown(),
        )
    total = sum(made.sizes.values()) / _GB
    say(f"data: packed in {duration(time.monotonic() - began)}, {total:.2g} GB")


def _expected_bytes(source: Any, options: sources.SourceOptions) -> int | None:
    """About how large the result will be; None: not known."""
    if source.encoding is None and source.kind == "image":
        if options.image_size is None or source.num_rows is None:
            return None
        return source.num_rows * options.image_size**2 * 3
    return source.num_bytes


def _refuse_without_room(folder: pathlib.Path, needed: int) -> None:
    there = sum(f.stat().st_size for f in folder.glob("*")) if folder.is_dir() else 0
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    room = shutil.disk_usage(parent).free + there
    if room < needed:
        raise RefusedError(
            f"data: expected {needed / _GB:.1f} GB of room in {parent}, to pack it "
            f"into. Received: {room / _GB:.1f} GB. Make room, set {VARIABLE} to a "
            "folder on a larger disk, or pack it elsewhere: kerascale pack SOURCE DEST."
        )
