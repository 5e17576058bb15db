"""Data that every installation has: `digits` and `python_reference`."""

import functools
import hashlib
import pathlib
import re
from collections.abc import Mapping

import numpy as np

from kerascale.datasets import cache
from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.sources.tfds_examples import quiet_tfds, read_array_records
from kerascale.errors import RefusedError

_NO_LABELS = np.zeros(0, dtype=np.int64)
# Shorter paragraphs, such as "Added in version 3.8.", are not text of a topic's own.
_MIN_SHARED_CHARACTERS = 40


def digits() -> RawData:
    """1,797 handwritten digits of 8x8 pixels; `data/digits/README.md` has the source.

    The first call on a machine prepares them in kerascale's cache folder, with the
    TFDS builder in `kerascale.data.digits`. Nothing is downloaded, and TensorFlow's
    runtime is not started.

    Returns:
        Data of kind `image`: uint8 (examples, 8, 8, 1) with values in 0..16, 1,347
        examples to train on and 450 for the test.

    Raises:
        RefusedError: If the cache folder cannot be written.
    """
    from kerascale.data.digits import digits_dataset_builder as module

    content = hashlib.sha256(module.csv_file().read_bytes()).hexdigest()
    # A changed file, or builder, gets a folder of its own.
    name = f"digits-{module.Builder.VERSION}-{content[:16]}"

    def prepare(folder: pathlib.Path) -> None:
        with quiet_tfds():
            builder = module.Builder(data_dir=folder, file_format="array_record")
            builder.download_and_prepare()

    folder = cache.prepare_once(name, prepare)
    try:
        splits = _digits_in(folder, _stamps(folder))
    except Exception:
        # The files are damaged, as a power cut leaves them: whatever a reader makes
        # of that, they can be made again. If it is something else, it shows now.
        folder = cache.prepare_once(name, prepare, again=True)
        splits = _digits_in(folder, _stamps(folder))
    # Copies: whoever changes them does not change the next data set.
    copies = {
        split: Split(examples.features.copy(), examples.labels.copy())
        for split, examples in splits.items()
    }
    return RawData(
        name="digits", kind="image", class_names=module.CLASS_NAMES, **copies
    )


@functools.lru_cache(maxsize=1)  # Searches and folds ask again and again.
def _digits_in(
    folder: pathlib.Path, stamps: tuple[tuple[str, int, int], ...]
) -> dict[str, Split]:
    """The splits in a folder, decoded once as long as its files do not change."""
    del stamps
    from kerascale.data.digits import digits_dataset_builder as module

    with quiet_tfds():
        builder = module.Builder(data_dir=folder, file_format="array_record")
        return {
            split: read_array_records(builder, split, "image", "label")
            for split in ("train", "test")
        }


def _stamps(folder: pathlib.Path) -> tuple[tuple[str, int, int], ...]:
    """Path, size and time of change of each file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    stats = [(str(path), path.stat()) for path in files]
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)


def python_reference(held_out_fraction: float = 0.05) -> RawData:
    """The Python reference that the running CPython carries for `help()`.

    About half a million characters of English and code, from `pydoc_data.topics`
    (PSF licence). It differs from one Python version to the next; the fingerprint
    that a run prints and records says which one a result belongs to.

    A part holds whole topics. Topics that share a paragraph are kept together,
    because the reference repeats itself: no paragraph of the test part occurs in
    the training part.

    Args:
        held_out_fraction: Share of the characters, or just under it, for validation,
            and the same for the test; between 0 and 0.5.

    Returns:
        Data of kind `corpus`.

    Raises:
        RefusedError: If this Python has no `pydoc_data`.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise RefusedError(
            "dataset: expected a Python with its own reference in pydoc_data.topics. "
            f"Received: one without it ({error}). Install the whole standard library, "
            "or use text:PATH."
        ) from error
    parts = _assign_topics(topics, held_out_fraction)
    return RawData(
        name="python_reference",
        kind="corpus",
        class_names=(),
        **{part: _corpus(topics, names) for part, names in parts.items()},
    )


def _corpus(topics: Mapping[str, str], names: list[str]) -> Split:
    text = "\n\n".join(topics[name].strip() + "\n" for name in sorted(names))
    return Split(np.array([text], dtype=object), _NO_LABELS)


def _assign_topics(
    topics: Mapping[str, str], held_out_fraction: float
) -> dict[str, list[str]]:
    """Which topics go into which part: by a hash of the name, not by a generator."""
    room = held_out_fraction * sum(len(text) for text in topics.values())
    left = {"test": room, "validation": room}
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for family in sorted(
        _families(topics), key=lambda names: hashlib.sha256(names[0].encode()).digest()
    ):
        size = sum(len(topics[name]) for name in family)
        part = next((part for part in left if size <= left[part]), "train")
        if part in left:
            left[part] -= size
        parts[part] += family
    return parts


def _families(topics: Mapping[str, str]) -> list[list[str]]:
    """Topics, sorted, grouped with those that they share a paragraph with."""
    family_of = {name: [name] for name in sorted(topics)}
    seen: dict[str, str] = {}
    for name in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", topics[name]):
            words = " ".join(paragraph.split())
            if len(words) < _MIN_SHARED_CHARACTERS:
                continue
            family = family_of[seen.setdefault(words, name)]
            if family is not family_of[name]:
                family += family_of[name]
                for member in family_of[name]:
                    family_of[member] = family
    return sorted({id(f): sorted(f) for f in family_of.values()}.values())
