"""Pictures whose labels stand in a table: `images:FOLDER --label COLUMN`."""

import os
from collections.abc import Sequence

import numpy as np

from kerascale.config import TrainingConfig
from kerascale.config.tasks import OF_CLASSES
from kerascale.datasets import targets, targets_of_texts
from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.sources import images_source, table_columns
from kerascale.datasets.sources.checks import Problems, listing
from kerascale.datasets.sources.csv_options import USUAL
from kerascale.datasets.tables import frames, like_training
from kerascale.errors import RefusedError

TABLE = "labels.csv"
_FILE = "file"


def load(config: TrainingConfig, tasks: Sequence[str]) -> RawData:
    """The pictures of a folder, with labels out of the `labels.csv` in it.

    The table has a column `file`, the path of a picture from the folder on, and the
    columns that `label` names. Pictures that it does not name are not read.

    Args:
        config: See `TrainingConfig`; `image_size` of `ImageConfig`.
        tasks: What the recipe can be asked for.

    Raises:
        RefusedError: With every file that is missing or damaged, and what is wrong with
            the labels.
    """
    folder = os.path.expanduser(config.dataset.removeprefix("images:"))
    path = os.path.join(folder, TABLE)
    if not os.path.isfile(path):
        raise RefusedError(
            f"label: expected {path}, a table with the columns {_FILE!r} and "
            f"{config.label!r}. Received: none. Without --label each folder is a class."
        )
    names = frames.names_of("csv", path, USUAL)
    labels = table_columns.label_columns(config.label, names)
    missing = [
        name for name in (_FILE, *(labels or [config.label])) if name not in names
    ]
    if missing:
        raise RefusedError(
            f"{path}: expected the columns {_FILE!r} and those of --label. Received: "
            f"none named {listing(missing)}; there are {listing(names)}."
        )
    table = like_training.open_like("csv", path, (_FILE, *labels), USUAL)
    cells = frames.stripped(table.cells(labels))
    decision = targets.decide(config.task, cells, labels, config.num_classes)
    targets.refuse_other_task(decision.task, tasks, config.dataset)
    decision.say(config.task)
    class_names, target_names = (), ()
    if decision.task in OF_CLASSES:
        found, class_names = targets_of_texts.classes_of_texts(
            cells[:, 0], path, labels[0], config.num_classes
        )
    else:
        found, target_names = targets_of_texts.of_texts(
            decision.task, cells, labels, path
        )
    files = [os.path.join(folder, cell) for cell in table.frame[_FILE]]
    _refuse_missing(path, files)
    size = getattr(config, "image_size", None)
    images = images_source.read_files(
        folder, files, None if size is None else (size,) * 2
    )
    origins = np.empty(len(files), dtype=object)
    origins[:] = files
    return RawData(
        name=config.dataset,
        kind="image",
        class_names=class_names,
        train=Split(images, found, origins),
        task=decision.task,
        is_told=True,
        target_names=target_names,
    )


def _refuse_missing(path: str, files: Sequence[str]) -> None:
    problems = Problems(f"{path} cannot be used")
    for row, file in enumerate(files):
        if not os.path.isfile(file):
            problems.add(
                f"{path}, row {row}, counted from 0: expected a picture. Received: "
                f"{file!r}, which is no file. Correct the path, or remove the row."
            )
    problems.raise_if_any()
