"""Tasks of packed data: that of its targets, or those of its classes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from kerascale.config.tasks import OF_CLASSES
from kerascale.datasets import targets
from kerascale.datasets.bundle import Datasets
from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.tables import told
from kerascale.errors import RefusedError


def refuse_other(config: Any) -> None:
    """Refuses what packed data does not carry, before anything is packed.

    Raises:
        RefusedError: Naming it, and the way out.
    """
    problems = []
    if config.class_order:
        problems.append(
            "class_order: expected none with packed data, whose classes keep the order "
            f"of their names. Received: {list(config.class_order)}"
        )
    if told.file_of(config.columns) is not None:
        problems.append(
            "columns: expected names of columns with packed data, whose columns are "
            f"what they were when it was packed. Received: {config.columns[0]!r}. Pack "
            "with it (kerascale pack SOURCE DEST --columns FILE), or train from the "
            "files in memory (--pack never)"
        )
    if problems:
        raise RefusedError(problems, heading=config.dataset)


def with_task(datasets: Datasets, config: Any, tasks: Sequence[str]) -> Datasets:
    """The same data, with its task."""
    refuse_other(config)
    info = datasets.info
    if info.target_names:
        if config.task not in ("auto", info.task):
            raise RefusedError(
                f"task: expected {info.task}, for which {info.name} was packed. "
                f"Received: {config.task}. Pack the source with --task {config.task}."
            )
        targets.refuse_other_task(info.task, tasks, info.name)
        return datasets
    if not info.class_names:
        return datasets
    if config.task not in ("auto", *OF_CLASSES):
        raise RefusedError(
            f"task: expected one of {', '.join(OF_CLASSES)}, as {info.name} was packed "
            f"with classes as labels. Received: {config.task}. Pack the source with "
            f"--task {config.task}."
        )
    none: Any = Split(None, None)
    raw = RawData(info.name, info.kind or "vector", info.class_names, none)
    if config.task == "ordinal":
        in_order = list(targets.number_order(info.class_names))
        if in_order != list(info.class_names):
            raise RefusedError(
                "task: expected classes whose names are numbers in ascending order, "
                f"for ordinal on packed data. Received: {list(info.class_names)}."
            )
        task = "ordinal"
    else:
        task = targets.task_of(raw, config.task, tasks).task
    return dataclasses.replace(datasets, info=dataclasses.replace(info, task=task))
