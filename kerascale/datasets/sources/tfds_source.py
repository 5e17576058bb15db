"""`tfds:NAME`: any data set of TensorFlow Datasets with images or texts to classify."""

import contextlib
import math
import os
import socket
import sys
import urllib.parse
import urllib.request
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from kerascale.config.fields import nearest
from kerascale.datasets import cache
from kerascale.datasets.raw import Kind, RawData, Split
from kerascale.datasets.sources.tfds_examples import quiet_tfds, read_split
from kerascale.errors import RefusedError, TooLargeError
from kerascale.runtime.console import is_terminal, say
from kerascale.runtime.free_memory import available_bytes

_SPLITS = ("train", "validation", "test")
# Training needs room for more than the examples.
_SHARE_OF_MEMORY = 0.7
# What a Python string takes beside its characters.
_BYTES_PER_STRING = 64


def load_tfds(name: str, image_size: int | None = None) -> RawData:
    """Loads a data set of TensorFlow Datasets into memory.

    It is read from `TFDS_DATA_DIR` (or `~/tensorflow_datasets`), and prepared there
    first if it is not yet, which downloads it. The data set needs a `train` split;
    `validation` and `test` are used if it has them with labels.

    Starts TensorFlow's runtime: create a multi-worker strategy before.

    Args:
        name: As `tfds.load` takes it: `mnist`, `imdb_reviews/plain_text:1.0.0`.
        image_size: Height and width in pixels to resize every image to, without
            regard to its proportions. None: the images have one size already.

    Returns:
        Data of kind `image` (an `Image` feature and a `ClassLabel`) or `text` (a
        `Text` and a `ClassLabel`).

    Raises:
        RefusedError: If there is no such data set, it cannot be prepared, is
            damaged, does not fit in memory, or has other features.

    Example:

    >>> data = load_tfds("mnist")
    """
    prepared = prepare(name)
    name, builder, splits = prepared.name, prepared.builder, prepared.splits
    kind, (feature, label) = prepared.kind, prepared.keys
    _check_memory(
        name,
        sum(builder.info.splits[split].num_examples for split in splits),
        image_bytes(name, builder.info.features[feature], image_size)
        if kind == "image"
        else _text_bytes(builder, splits),
    )
    with quiet_tfds():
        found = {
            split: read_split(builder, split, (feature, label), image_size)
            for split in splits
        }
    return RawData(
        name=f"tfds:{name}",
        kind=kind,
        class_names=tuple(builder.info.features[label].names),
        **_with_labels(name, found),
    )


class Prepared(NamedTuple):
    """A data set that is prepared.

    Args:
        name: Without the prefix.
        builder: That of TFDS.
        kind: `image` or `text`.
        keys: Names of the feature and of the label.
        splits: Those that can be used, as far as is known: `train` first.
    """

    name: str
    builder: tfds.core.DatasetBuilder
    kind: Kind
    keys: tuple[str, str]
    splits: list[str]


def prepare(name: str) -> Prepared:
    """Opens a data set, and prepares it first if it is not yet.

    Args:
        name: As `load_tfds` takes it.

    Raises:
        RefusedError: As `load_tfds` does.
    """
    name = name.removeprefix("tfds:")
    builder = _open(name)
    if not _is_prepared(builder):
        # One process downloads; the others find it done.
        with cache.lock(f"tfds-{name}"):
            builder = _open(name)
            if not _is_prepared(builder):
                _prepare(name, builder)
    kind, feature, label = _choose_features(name, builder)
    sizes = {split: info.num_examples for split, info in builder.info.splits.items()}
    splits = [split for split in _SPLITS if sizes.get(split)]
    if "train" not in splits:
        raise RefusedError(
            f"tfds:{name}: expected examples in a split called train. Received: "
            f"{sizes}. Take another data set or config."
        )
    return Prepared(name, builder, kind, (feature, label), splits)


def _open(name: str) -> tfds.core.DatasetBuilder:
    try:
        with quiet_tfds():
            return tfds.builder(name, data_dir=_data_dir())
    except tfds.core.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        stem = name.split("/")[0].split(":")[0]
        raise RefusedError(
            "Expected a data set that TFDS knows, or one that is prepared in "
            f"{_data_dir() or '~/tensorflow_datasets'} (TFDS_DATA_DIR). Received: "
            f"{name!r}.{nearest(stem, known)} See https://tensorflow.org/datasets."
        ) from error
    except Exception as error:
        # A builder is anybody's code, and the name may have a wrong form, config or
        # version: TFDS says which.
        raise RefusedError(
            "Expected a data set as NAME, NAME/CONFIG or NAME:VERSION, in good order. "
            f"Received: {name!r} ({_first_lines(error)}). Correct the name; if it is "
            f"right, look into {_data_dir() or '~/tensorflow_datasets'}."
        ) from error


def _data_dir() -> str | None:
    # TFDS reads the variable only when it is imported, and takes `~` literally.
    chosen = os.environ.get("TFDS_DATA_DIR")
    return os.path.expanduser(chosen) if chosen else None


def _is_prepared(builder: tfds.core.DatasetBuilder) -> bool:
    with quiet_tfds():
        if builder.is_prepared():
            return True
    if builder.data_path.exists():
        raise RefusedError(
            "Expected a data set that TFDS prepared to the end. Received: "
            f"{builder.data_dir}, which has no dataset_info.json. Delete that folder "
            "to have it prepared again."
        )
    return False


def _prepare(name: str, builder: tfds.core.DatasetBuilder) -> None:
    say(f"tfds:{name} is not in {builder.data_dir} yet: it is downloaded now")
    try:
        _check_network(builder)
        # TFDS prints to standard output, which is for results.
        shown = contextlib.redirect_stdout(sys.stderr)
        with shown if is_terminal() else quiet_tfds():
            builder.download_and_prepare()
    except Exception as error:
        # A builder is anybody's code: it may need the network, disk space, files
        # downloaded by hand, or a package that is not installed.
        raise RefusedError(
            f"tfds:{name}: expected to download and prepare it in "
            f"{builder.data_dir}. Received: {type(error).__name__}: "
            f"{_first_lines(error)}. Prepare it where that works (pip install "
            f"tensorflow-datasets; tfds build {name}), copy the folder here, and set "
            "TFDS_DATA_DIR."
        ) from error


def _check_network(builder: tfds.core.DatasetBuilder) -> None:
    """Fails at once if no host of the download has an address.

    TFDS would try each of them for minutes.
    """
    hosts = {urllib.parse.urlsplit(url).hostname for url in builder.url_infos or ()}
    # The files may lie there already, or be put there by hand.
    downloads = builder.data_dir_root / "downloads"
    if not hosts or urllib.request.getproxies() or downloads.exists():
        return
    for host in hosts:
        try:
            socket.getaddrinfo(host, None)
            return
        except OSError as error:
            failure = error
    raise OSError(f"no network: {min(hosts, key=str)}: {failure}") from failure


def _choose_features(
    name: str, builder: tfds.core.DatasetBuilder
) -> tuple[Kind, str, str]:
    features = builder.info.features
    top_level = (
        dict(features.items())
        if isinstance(features, tfds.features.FeaturesDict)
        else {}
    )
    images, texts, labels = (
        [key for key, feature in top_level.items() if isinstance(feature, kind)]
        for kind in (
            tfds.features.Image,
            tfds.features.Text,
            tfds.features.ClassLabel,
        )
    )
    match builder.info.supervised_keys:
        case (str(feature), str(label)) if label in labels and feature in images:
            return "image", feature, label
        case (str(feature), str(label)) if label in labels and feature in texts:
            return "text", feature, label
    if len(labels) == 1 and len(images) == 1:
        return "image", images[0], labels[0]
    if len(labels) == 1 and len(texts) == 1 and not images:
        return "text", texts[0], labels[0]
    listed = ", ".join(f"{key}: {type(f).__name__}" for key, f in top_level.items())
    raise RefusedError(
        f"tfds:{name}: expected one Image or one Text feature, and one ClassLabel. "
        f"Received: {listed or type(features).__name__}. Take another data set or "
        "config, or read it with tfds.load and pass arrays."
    )


def image_bytes(name: str, feature: tfds.features.Image, image_size: int | None) -> int:
    """Size of one image in memory; refuses images that cannot be an array."""
    shape, dtype = feature.shape, np.dtype(feature.np_dtype)
    if not shape[-1] or dtype not in (np.uint8, np.float32):
        raise RefusedError(
            f"tfds:{name}: expected images of uint8 or float32 with a fixed number of "
            f"channels. Received: {dtype} of shape {shape}. Take another data set or "
            "config."
        )
    if image_size is not None:
        shape = (image_size, image_size, shape[-1])
    if None in shape:
        raise RefusedError(
            f"tfds:{name}: expected images of one size. Received: images of shape "
            f"{shape}. Pass --image-size N to resize all images to NxN pixels."
        )
    return math.prod(shape) * dtype.itemsize


def _text_bytes(builder: tfds.core.DatasetBuilder, splits: list[str]) -> int:
    infos = [builder.info.splits[split] for split in splits]
    mean = sum(i.num_bytes for i in infos) // sum(i.num_examples for i in infos)
    return mean + _BYTES_PER_STRING


def _check_memory(name: str, num_examples: int, bytes_per_example: int) -> None:
    needed, room = num_examples * bytes_per_example, available_bytes()
    if needed > room * _SHARE_OF_MEMORY:
        raise TooLargeError(
            f"tfds:{name}: expected examples that fit in memory. Received: "
            f"{num_examples} examples, which need {needed / 2**30:.1f} GiB of "
            f"{room / 2**30:.1f} GiB. Take a smaller data set, or of images a smaller "
            "--image-size N."
        )


def _with_labels(name: str, found: dict[str, Split]) -> dict[str, Split]:
    """The splits that can be used: TFDS writes -1 where a label is not known."""
    unlabelled = {k: int((split.labels < 0).sum()) for k, split in found.items()}
    if unlabelled["train"]:
        raise RefusedError(
            f"tfds:{name}: expected a label for every training example. Received: "
            f"{unlabelled['train']} of {len(found['train'])} without one (-1). Take "
            "another data set or config."
        )
    for split, count in unlabelled.items():
        if count:
            say(
                f"tfds:{name}: the {split} split is not used: {count} of its "
                f"{len(found[split])} examples have no label"
            )
    return {k: split for k, split in found.items() if not unlabelled[k]}


def _first_lines(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 500 else f"{text[:500]}..."
