"""One row of the report: a gradient, along directions and by single elements."""

import time
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from kerascale.engine.compat import keras_private
from kerascale.engine.step import randomness
from kerascale.trust.gradients import numeric
from kerascale.trust.gradients.loss import BatchLoss
from kerascale.trust.gradients.numeric import Compared, Moved, Precision
from kerascale.trust.gradients.report import Element, Row, Verdict

# Seconds for all differences of a check, if each is looked at twice.
_SECONDS = 7.0


class Check:
    """What the rows of a check share.

    Args:
        loss: Of the batch.
        value: What it is.
        precision: How exactly it is computed.
    """

    def __init__(self, loss: BatchLoss, value: float, precision: Precision) -> None:
        self._loss = loss
        self._value = value
        self._precision = precision
        self._random = np.random.default_rng(0)
        self._directions = numeric.DIRECTIONS
        self._elements = numeric.ELEMENTS

    def plan(self, gradients: int) -> None:
        """Chooses how many directions are looked at, for so many gradients."""
        began = time.perf_counter()
        self._loss()
        each = 2 * (time.perf_counter() - began)
        affordable = _SECONDS / (max(each, 1e-6) * max(gradients, 1))
        if affordable < numeric.DIRECTIONS + numeric.ELEMENTS:
            # Two directions overlook what one does with the probability squared.
            self._directions = min(numeric.DIRECTIONS, max(2, int(affordable) - 1))
            self._elements = 1

    def variable(
        self, variable: keras.Variable, gradient: np.ndarray | None, where: str
    ) -> Row:
        moved = self._loss.moved_by(variable)
        shape = tuple(variable.shape)
        return self._row("variable", variable.path, shape, where, moved, gradient)

    def input(
        self, place: int, name: str, array: np.ndarray, gradient: np.ndarray | None
    ) -> Row:
        moved = self._loss.moved_by_input(place)
        return self._row("input", name, array.shape, "one device", moved, gradient)

    def _row(
        self,
        what: str,
        name: str,
        shape: tuple[int, ...],
        where: str,
        moved: Moved,
        gradient: np.ndarray | None,
    ) -> Row:
        return row_of(
            what,
            name,
            shape,
            where,
            moved,
            gradient,
            value=self._value,
            precision=self._precision,
            random=self._random,
            counts=(self._directions, self._elements),
        )


def row_of(
    what: str,
    name: str,
    shape: tuple[int, ...],
    where: str,
    moved: Moved,
    gradient: np.ndarray | None,
    *,
    value: float,
    precision: Precision,
    random: np.random.Generator,
    counts: tuple[int, int] = (numeric.DIRECTIONS, numeric.ELEMENTS),
) -> Row:
    """Compares one gradient.

    Args:
        what: See `Row`, as for the three that follow.
        name: Its path.
        shape: Its shape.
        where: What computed it.
        moved: The loss, moved.
        gradient: Automatic; None where there is none.
        value: The loss, not moved.
        precision: Of the loss.
        random: Where directions are drawn from.
        counts: How many directions and elements are looked at.
    """
    known = np.zeros(shape) if gradient is None else np.asarray(gradient, np.float64)
    compared = [
        numeric.compare(moved, known, direction, value, precision)
        for direction in numeric.directions(shape, counts[0], random)
    ]
    places = numeric.elements(known, counts[1], random)
    single = [numeric.at(moved, known, i, value, precision) for i in places]
    verdict = _verdict([*compared, *(each for _, each in single)])
    if verdict == "wrong":
        index = numeric.worst_of(moved, known, value, precision, random)
        single.append(numeric.at(moved, known, index, value, precision))
    return Row(
        what=what,
        name=name,
        shape=tuple(shape),
        where=where,
        verdict=verdict,
        error=_error(verdict, compared, single),
        worst=_worst(single),
        missing=gradient is None,
    )


def _verdict(compared: Iterable[Compared]) -> Verdict:
    found = {each.verdict for each in compared}
    for verdict in ("wrong", "kink", "right"):
        if verdict in found:
            return verdict
    return "zero"


def _error(
    verdict: Verdict,
    compared: list[Compared],
    single: list[tuple[Element, Compared]],
) -> float:
    """Of what has the row's verdict."""
    each = [*compared, *(found for _, found in single)]
    return max((c.error for c in each if c.verdict == verdict), default=0.0)


def _worst(single: list[tuple[Element, Compared]]) -> Element | None:
    if not single:
        return None
    wrong = [pair for pair in single if pair[1].verdict == "wrong"]
    return max(wrong or single, key=lambda pair: _difference(pair[0]))[0]


def _difference(element: Element) -> float:
    return abs(element.automatic - element.numeric)


def precision_of(model: Any) -> Precision:
    """How exactly a model's loss is computed: as its coarsest layer."""
    name = keras_private.compute_dtype(model)
    if name == "float64":
        return Precision(float(np.finfo(np.float64).eps))
    known = {"float32": 1.2e-7, "float16": 1e-3, "bfloat16": 8e-3}
    return Precision(known.get(name, 1.2e-7))


def without_own_draws(model: keras.Model) -> list[tuple[Any, str, float]]:
    """Turns off layers that draw on each replica for themselves.

    Returns:
        (layer, attribute, what it was), for whoever turns them on again.
    """
    before = []
    for layer in list(randomness.drawing(model)):
        for name in randomness.RATES:
            rate = getattr(layer, name, None)
            if rate:
                before.append((layer, name, rate))
                setattr(layer, name, 0.0)
    return before
