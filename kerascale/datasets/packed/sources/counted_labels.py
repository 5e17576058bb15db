"""Labels that are indices, counted while they go by; judged when all are known."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerascale.datasets.sources.checks import Problems
from kerascale.datasets.sources.label_checks import looks_measured, measured_fault
from kerascale.errors import RefusedError


class CountedLabels:
    """How often each label occurs in each split, and where first.

    Args:
        known: What `to_json` gave before.
    """

    def __init__(self, known: Mapping[str, Any] | None = None) -> None:
        # split -> label -> [how often, where first]
        self._found: dict[str, dict[int, list[Any]]] = {
            split: {int(label): list(value) for label, value in found.items()}
            for split, found in (known or {}).items()
        }

    def add(self, split: str, labels: np.ndarray, places: Sequence[str]) -> None:
        """Counts some labels, each of which stands at a place."""
        found = self._found.setdefault(split, {})
        values, firsts, counts = np.unique(
            labels, return_index=True, return_counts=True
        )
        for value, first, count in zip(
            values.tolist(), firsts.tolist(), counts.tolist(), strict=True
        ):
            found.setdefault(value, [0, places[first]])[0] += count

    def to_json(self) -> dict[str, Any]:
        return {
            split: {str(label): list(value) for label, value in found.items()}
            for split, found in self._found.items()
        }

    def settle(self, name: str, num_classes: int | None, unit: str) -> int:
        """The number of classes.

        Args:
            name: What the user calls the labels.
            num_classes: As the user says; labels were compared with it already.
            unit: What is counted, such as `records`.

        Raises:
            RefusedError: If labels are no classes, or those of other splits are none
                of the training examples.
        """
        if num_classes is not None:
            return num_classes
        train = self._found.get("train", {})
        count = sum(number for number, _ in train.values())
        largest, way_out = max(train, default=0), "pass --num-classes N"
        if largest >= max(1000, count):
            raise RefusedError(
                f"{train[largest][1]}: expected labels that count from 0, as "
                f"num_classes is not given. Received: {largest} among {count} "
                "examples. Pass --num-classes N."
            )
        if looks_measured(len(train), min(train, default=0), largest, count):
            fault = measured_fault(len(train), count, unit, way_out)
            raise RefusedError(f"{name}: {fault}")
        num_classes = max(2, largest + 1)
        problems = Problems(f"{name} cannot be used")
        for split, found in self._found.items():
            for label, (_, place) in sorted(found.items()):
                if label >= num_classes:
                    problems.add(
                        f"{place}: expected a label in 0..{num_classes - 1}, as in the "
                        f"training examples. Received: {label} in the {split} examples."
                    )
        problems.raise_if_any()
        return num_classes
