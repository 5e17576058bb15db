"""Which columns of a table are features, and which is the label."""

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
