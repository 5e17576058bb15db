"""How a CSV file is written, and which of its columns are read."""

import dataclasses
import string
from typing import Any

from kerascale.config.fields import nearest
from kerascale.datasets.sources.checks import listing
from kerascale.errors import RefusedError

# What a shell makes hard to type.
_NAMED = {"tab": "\t", "\\t": "\t", "space": " "}
# Signs that cells themselves are written with.
_NO_SIGN = '"\r\n\0.+-' + string.digits + string.ascii_letters


@dataclasses.dataclass(frozen=True)
class CsvOptions:
    """What a CSV file does not say of itself.

    Args:
        separator: The character between two cells, or `tab` or `space`.
        no_header: The first line is a row of data, and the columns are called
            `column_0`, `column_1` and so on. None: it has the columns' names, and is
            refused where all of them are numbers. False: it has the names, whatever
            they are.
        columns: The columns of features. Empty: all but the label.
        drop_columns: Columns that are left out.

    Raises:
        RefusedError: If something is not as it should be.
    """

    separator: str = ","
    no_header: bool | None = None
    columns: tuple[str, ...] = ()
    drop_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.delimiter or len(self.delimiter) > 1 or self.delimiter in _NO_SIGN:
            raise RefusedError(
                "separator: expected one character between two cells, such as ; or |, "
                f"or tab or space. Received: {self.separator!r}."
            )
        if self.no_header not in (None, True, False):
            raise RefusedError(
                "no_header: expected True, False or None. Received: "
                f"{self.no_header!r}."
            )

    @property
    def delimiter(self) -> str:
        """The separator as the character that it is."""
        return _NAMED.get(self.separator, self.separator)

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "CsvOptions":
        """The options among the fields of a run's configuration.

        Args:
            fields: Field name -> value; those of runs that were written before may
                lack some.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        lists = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return cls(**{name: lists[name] for name in names if name in lists})

    def only(self, columns: tuple[str, ...]) -> "CsvOptions":
        """The same, of these columns of features."""
        return dataclasses.replace(self, columns=columns, drop_columns=())

    def column_names(self, count: int) -> tuple[str, ...]:
        """The names of the columns of a file without a header."""
        return tuple(f"column_{i}" for i in range(count))

    def feature_columns(
        self, path: str, names: tuple[str, ...], label: str | None
    ) -> tuple[tuple[str, ...], list[str]]:
        """The columns of features, in the order of the file.

        Args:
            path: The file.
            names: All its columns.
            label: That of the label.

        Returns:
            Their names, and what is wrong with the choice.
        """
        problems = []
        for flag in ("columns", "drop_columns"):
            shown = f"--{flag.replace('_', '-')}"
            for name in getattr(self, flag):
                if name not in names:
                    problems.append(
                        f"{path}: {shown}: expected names among {listing(names)}. "
                        f"Received: {name!r}.{nearest(name, names)}"
                    )
                elif name == label:
                    problems.append(
                        f"{path}: {shown}: expected columns of features. Received: "
                        f"{name!r}, which is the label. Leave it out."
                    )
        both = [name for name in self.columns if name in self.drop_columns]
        if both:
            problems.append(
                f"{path}: expected columns either in --columns or in --drop-columns. "
                f"Received: {listing(both)} in both. Leave it out of one."
            )
        chosen = self.columns or tuple(name for name in names if name != label)
        kept = set(chosen) - set(self.drop_columns)
        if label in names and not problems and not kept:
            problems.append(
                f"{path}: expected a column of features beside the label. Received: "
                f"{label!r} only. Add columns."
            )
        return tuple(name for name in names if name in kept), problems


# Commas, and a header line.
USUAL = CsvOptions()
