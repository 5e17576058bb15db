"""Opens a data set of TensorFlow Datasets, and prepares it first if it is not yet."""

import contextlib
import os
import socket
import sys
import urllib.parse
import urllib.request
from typing import NamedTuple

import tensorflow_datasets as tfds

from kerascale.config.fields import nearest
from kerascale.datasets import cache
from kerascale.datasets.sources.tfds_examples import quiet_tfds
from kerascale.datasets.sources.tfds_features import USUAL, Asked, Chosen, choose
from kerascale.errors import RefusedError
from kerascale.runtime.console import is_terminal, say

_SPLITS = ("train", "validation", "test")


class Prepared(NamedTuple):
    """A data set that is prepared.

    Args:
        name: Without the prefix.
        builder: That of TFDS.
        chosen: Its features and labels.
        splits: Those that can be used, as far as is known: `train` first.
    """

    name: str
    builder: tfds.core.DatasetBuilder
    chosen: Chosen
    splits: list[str]


def prepare(name: str, asked: Asked = USUAL) -> Prepared:
    """Opens a data set, and prepares it first if it is not yet.

    Args:
        name: As `tfds.load` takes it: `mnist`, `imdb_reviews/plain_text:1.0.0`.
        asked: Which features are read.

    Raises:
        RefusedError: If there is no such data set, it cannot be prepared, has no
            training examples, or no such features.
    """
    name = name.removeprefix("tfds:")
    builder = _open(name)
    if not _is_prepared(builder):
        # One process downloads; the others find it done.
        with cache.lock(f"tfds-{name}"):
            builder = _open(name)
            if not _is_prepared(builder):
                _prepare(name, builder)
    chosen = choose(name, builder.info, asked)
    sizes = {split: info.num_examples for split, info in builder.info.splits.items()}
    splits = [split for split in _SPLITS if sizes.get(split)]
    if "train" not in splits:
        raise RefusedError(
            f"tfds:{name}: expected examples in a split called train. Received: "
            f"{sizes}. Take another data set or config."
        )
    return Prepared(name, builder, chosen, splits)


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


def _first_lines(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 500 else f"{text[:500]}..."
