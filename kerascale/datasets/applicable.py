"""Fields of a configuration that a data set has no use for, and recipes for others."""

from collections.abc import Sequence
from typing import Any

from kerascale.config import TrainingConfig
from kerascale.config.augmentations import AUGMENTATIONS
from kerascale.datasets.info import DataInfo
from kerascale.datasets.raw import Kind
from kerascale.errors import RefusedError

_FIELDS_OF_KINDS: dict[tuple[str, ...], tuple[Kind, ...]] = {
    ("image_size", *AUGMENTATIONS): ("image",),
    ("embedding_dim",): ("text",),
    ("max_length", "vocabulary_size"): ("text", "corpus"),
    ("class_weight", "task", "class_order"): ("image", "vector", "text", "table"),
}

_FIELDS_OF_TEXT = ("separator", "no_header")
_FIELDS_OF_TFDS = ("label", "columns", "drop_columns")
_FIELDS_OF_TABLES = (*_FIELDS_OF_TEXT, *_FIELDS_OF_TFDS, "test_data")


def refuse_other_kind(
    name: str, kind: Kind, rank: int, kinds: Sequence[Kind] | None
) -> None:
    """Refuses data of a kind that a recipe's model cannot take.

    Args:
        name: What the user calls the data.
        kind: Of the data.
        rank: Axes of an example.
        kinds: Those that the model takes; None: all.

    Raises:
        RefusedError: With the way out.
    """
    if kinds is None or kind in kinds:
        return
    # A table is what vectors are read from, too.
    named = [each for each in kinds if each != "table"]
    way_out = "Take another recipe or data set"
    if kind == "vector" and rank == 2:
        way_out += ", or if these are gray images, add a channel: x[..., None]"
    raise RefusedError(
        f"dataset: expected {' or '.join(named)} data for this recipe. Received: "
        f"{name}, which is {kind} data. {way_out}."
    )


def refuse_kind_unlike(
    info: DataInfo, name: str, kind: Kind, *, asked: str = "data"
) -> None:
    """Refuses data of another kind than a run was trained on.

    Args:
        info: What is known of the run's data.
        name: What the user calls the data.
        kind: Of the data.
        asked: Where the user named it.

    Raises:
        RefusedError: Naming both kinds.
    """
    if kind != info.kind:
        raise RefusedError(
            f"{asked}: expected {info.kind} data, as the run was trained on. Received: "
            f"{name}, which is {kind} data."
        )


def refuse_inapplicable(
    name: str, kind: Kind, class_names: Sequence[str], config: Any
) -> None:
    """A field that was set and cannot have an effect is a mistake worth a word.

    Args:
        name: What the user calls the data.
        kind: Of the data.
        class_names: Of the data.
        config: The recipe's configuration.

    Raises:
        RefusedError: Naming each such field.
    """
    problems = []
    for names, kinds in _FIELDS_OF_KINDS.items():
        for field in names:
            value = getattr(config, field, None)
            default = getattr(type(config), field, None)
            if kind not in kinds and value != default:
                problems.append(
                    f"{field}: expected only with {' or '.join(kinds)} data. Received: "
                    f"{value!r} with {name}, which is {kind} data. Leave it out"
                )
    # What a table in Parquet cannot have is told where it is opened.
    is_table = name.startswith(("csv:", "parquet:"))
    for field in () if is_table else _FIELDS_OF_TABLES:
        value = getattr(config, field)
        if field == "label" and name.startswith("images:"):
            continue  # Of a table beside the pictures.
        if field in _FIELDS_OF_TFDS and name.startswith("tfds:"):
            continue  # Told where its features are chosen.
        where = "csv:" if field in _FIELDS_OF_TEXT else "csv: or parquet:"
        if field in _FIELDS_OF_TFDS:
            where = "csv:, parquet: or tfds:"
        if value != getattr(TrainingConfig, field):
            problems.append(
                f"{field}: expected only with {where} data. Received: {value!r} with "
                f"{name}. Leave it out"
            )
    if config.skip_damaged_share and not name.startswith("tfrecord:"):
        problems.append(
            "skip_damaged_share: expected only with tfrecord: data. Received: "
            f"{config.skip_damaged_share!r} with {name}. Leave it out"
        )
    if config.regression_loss != "squared" and (class_names or kind == "corpus"):
        problems.append(
            "regression_loss: expected only with numbers to predict. Received: "
            f"{config.regression_loss!r} with {name}. Leave it out"
        )
    found = len(class_names)
    if config.num_classes is not None and config.num_classes != found:
        problems.append(
            f"num_classes: expected {found}, as {name} has. Received: "
            f"{config.num_classes}. Leave it out"
        )
    if problems:
        raise RefusedError(problems, heading=name)
