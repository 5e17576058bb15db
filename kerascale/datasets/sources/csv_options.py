"""How a CSV file is written, and which of its columns are read."""

import dataclasses
from typing import Any

from kerascale.errors import RefusedError


@dataclasses.dataclass(frozen=True)
class CsvOptions:
    """What a CSV file does not say of itself.

    Args:
        no_header: The first line is a row of data, and the columns are called
            `column_0`, `column_1` and so on. None: it has the columns' names, and is
            refused where all of them are numbers. False: it has the names, whatever
            they are.

    Raises:
        RefusedError: If something is not as it should be.
    """

    no_header: bool | None = None

    def __post_init__(self) -> None:
        if self.no_header not in (None, True, False):
            raise RefusedError(
                "no_header: expected True, False or None. Received: "
                f"{self.no_header!r}."
            )

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

    def column_names(self, count: int) -> tuple[str, ...]:
        """The names of the columns of a file without a header."""
        return tuple(f"column_{i}" for i in range(count))


# Commas, and a header line.
USUAL = CsvOptions()
