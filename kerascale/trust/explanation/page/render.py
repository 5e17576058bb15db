"""The page about explanations: one HTML file that needs nothing else."""

import dataclasses

import numpy as np

from kerascale.reporting.fill_template import fill
from kerascale.trust.explanation.page import figures, heat
from kerascale.trust.explanation.result import (
    TITLES,
    Explanation,
    Method,
    Shown,
    like_baseline,
    warnings,
)


@dataclasses.dataclass(frozen=True)
class Row:
    """A part of an example, with the share of the bar beside it."""

    name: str
    value: float
    width: float


@dataclasses.dataclass(frozen=True)
class Seen:
    """What one method says of one example, ready to be shown."""

    method: Method
    picture: str | None
    words: list[tuple[str, str, float]]
    rows: list[Row]


def render(found: Explanation) -> str:
    """The page."""
    return fill(
        "explain.html",
        package="kerascale.trust.explanation.page",
        title=f"{found.path}: why it answers so",
        found=found,
        figures=figures.of_explanation(found),
        warnings=warnings(found),
        alike=like_baseline(found),
        titles=TITLES,
        examples=[
            (shown, [_seen(found, method, shown, i) for method in found.methods])
            for i, shown in enumerate(found.examples)
        ],
    )


def _seen(found: Explanation, method: Method, shown: Shown, place: int) -> Seen:
    values = method.values[place]
    picture, words, rows = None, [], []
    if shown.picture is not None or found.parts.number_of.ndim == 2:
        picture = heat.picture(values, found.parts)
    elif found.part == "word":
        there = np.flatnonzero(shown.there)
        size = float(np.abs(values[there]).max(initial=0))
        words = [
            (shown.names[i], heat.tint(float(values[i]), size), float(values[i]))
            for i in there
        ]
    else:
        strongest = found.strongest(method, place)
        size = max((abs(value) for _, value in strongest), default=0) or 1
        rows = [Row(name, value, abs(value) / size) for name, value in strongest]
    return Seen(method, picture, words, rows)
