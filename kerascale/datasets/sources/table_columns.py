"""Which columns of a table are features, and which is the label."""

from collections.abc import Sequence

from kerascale.config.fields import nearest
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.errors import RefusedError


def chosen_columns(
    path: str,
    names: tuple[str, ...],
    label: str | None,
    options: CsvOptions,
    hint: str = "",
) -> tuple[str, ...]:
    """The columns of features, in the order of the table.

    Args:
        path: What the user called the table.
        names: All its columns.
        label: That of the label.
        options: Which columns were asked for.
        hint: What to say where the label is not found.

    Raises:
        RefusedError: With each column that is asked for and not there.
    """
    columns, problems = options.feature_columns(path, names, label)
    if label is None:
        problems.insert(
            0,
            f"{path}: expected the name of the label column. Received: none. The "
            f"columns are {listing(names)}.{hint} Pass --label COLUMN.",
        )
    elif label not in names:
        problems.insert(
            0,
            f"{path}: expected a label column. Received: {label!r}, which is not among "
            f"{listing(names)}.{nearest(label, names)}{hint}",
        )
    if problems:
        raise RefusedError(problems, heading=f"{path} cannot be used")
    return columns


def without_targets(
    path: str, columns: tuple[str, ...], targets: Sequence[str]
) -> tuple[str, ...]:
    """Columns of features, without those that are to be told.

    Raises:
        RefusedError: If there are no others.
    """
    left = tuple(name for name in columns if name not in targets)
    if not left:
        raise RefusedError(
            f"{path}: expected a column of features beside the labels. Received: "
            f"{', '.join(targets)} only. Add columns."
        )
    return left


def label_columns(label: str | None, names: Sequence[str]) -> tuple[str, ...]:
    """The label columns that a field names: one, or several between commas."""
    if label is None or label in names or "," not in label:
        return () if label is None or label not in names else (label,)
    found = tuple(part.strip() for part in label.split(","))
    missing = [name for name in found if name not in names]
    if missing or len(set(found)) < len(found):
        raise RefusedError(
            f"label: expected columns among {', '.join(names)}, each once. Received: "
            f"{label!r}."
        )
    return found
