"""Labels of a table that is read in parts: codes first, classes when all are known."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerascale.datasets.sources.csv_rows import parse_number
from kerascale.datasets.sources.label_cells import label_fault, whole_number
from kerascale.datasets.sources.label_checks import looks_measured

# More of them are no classes, and would take the memory that streaming saves.
MOST_LABELS = 1_000_000


class LabelCodes:
    """Each label that occurs, in the order in which they came, with its count.

    Args:
        state: Of labels that were read before; see `state`.
    """

    def __init__(self, state: Sequence[Sequence[Any]] = ()) -> None:
        self._counts = {label: int(count) for label, count in state}
        self._codes = {label: code for code, label in enumerate(self._counts)}

    def add(self, codes: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        """Codes of all labels that were added, for those of a part.

        Args:
            codes: int64 of shape (rows,), into `labels`.
            labels: The labels of the part, as text.

        Returns:
            int64 of shape (rows,).
        """
        texts = [label.strip() for label in labels]
        own = [self._codes.setdefault(text, len(self._codes)) for text in texts]
        counts = np.bincount(codes, minlength=len(labels)).tolist()
        for text, count in zip(texts, counts, strict=True):
            self._counts[text] = self._counts.get(text, 0) + count
        return np.array(own, np.int64)[codes]

    def __len__(self) -> int:
        """Distinct labels."""
        return len(self._codes)

    @property
    def counts(self) -> list[int]:
        """How often each occurs, by its code."""
        return list(self._counts.values())

    @property
    def are_too_many(self) -> bool:
        return len(self._codes) > MOST_LABELS

    @property
    def num_rows(self) -> int:
        return sum(self._counts.values())

    def state(self) -> list[list[Any]]:
        """What the constructor takes to go on; in JSON."""
        return [[label, count] for label, count in self._counts.items()]

    def classes(
        self, num_classes: int | None = None, *, is_test: bool = False
    ) -> tuple[tuple[str, ...], np.ndarray] | None:
        """Class names, and the label index of each code; None if a label is wrong.

        Args:
            num_classes: Labels are whole numbers below it. None: whatever there is.
            is_test: Nothing is trained on it: there may be few rows of each class.
        """
        labels = list(self._codes)
        rows = self.num_rows
        numbers = (c for t, c in self._counts.items() if parse_number(t) is not None)
        numeric = sum(numbers) * 2 > rows
        if any(label_fault(text, numeric, num_classes) for text in labels):
            return None
        if num_classes is not None:
            indices = [whole_number(text) for text in labels]
            class_names = tuple(str(i) for i in range(num_classes))
            return class_names, np.array(indices, dtype=np.int64)
        values = [whole_number(text) if numeric else text for text in labels]
        distinct = sorted(set(values))
        place = {value: index for index, value in enumerate(distinct)}
        class_names = tuple(str(value) for value in distinct)
        if not is_test and _look_measured(class_names, rows):
            return None
        return class_names, np.array([place[v] for v in values], dtype=np.int64)


def _look_measured(class_names: tuple[str, ...], rows: int) -> bool:
    values = [whole_number(name) for name in class_names]
    if None in values:
        return False
    return looks_measured(len(values), min(values), max(values), rows)
