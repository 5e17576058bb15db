"""What `explain` found, and how it is kept."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from kerascale.reporting import output_paths
from kerascale.runs import layout
from kerascale.trust.explanation.curves import Curves
from kerascale.trust.explanation.parts import Parts

TITLES = {
    "integrated-gradients": "integrated gradients",
    "shap": "SHAP values",
    "lime": "LIME",
    "occlusion": "occlusion",
    "attention-rollout": "attention rollout",
}


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to explain, and what it is worth.

    Args:
        name: See `TITLES`.
        values: Attributions of shape (examples, parts).
        curves: What the answers are while parts come and go in its order.
        gain: How much more area it gains than a random order: the mean over examples,
            and a 95 % interval.
        likeness: The rank correlation with its explanations of a model that has
            forgotten everything.
        completeness_error: Mean size of (sum of attributions - difference to the
            baseline), in mean sizes of that difference; None: it does not promise that.
        steps: Of integrated gradients, the points of the path; else None.
        seconds: What it took, checks included.
    """

    name: str
    values: np.ndarray
    curves: Curves
    gain: tuple[float, float, float]
    likeness: float
    completeness_error: float | None
    steps: int | None
    seconds: float

    @property
    def title(self) -> str:
        return TITLES[self.name]

    @property
    def beats_chance(self) -> bool:
        return self.gain[1] > 0

    def to_json(self) -> dict[str, Any]:
        return {
            "gain_over_chance": self.gain[0],
            "gain_interval": list(self.gain[1:]),
            "beats_chance": self.beats_chance,
            "deletion_area": float(self.curves.deletion_areas.mean()),
            "insertion_area": float(self.curves.insertion_areas.mean()),
            "likeness_to_forgotten": self.likeness,
            "completeness_error": self.completeness_error,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
        }


@dataclasses.dataclass(frozen=True)
class Shown:
    """An example that was explained.

    Args:
        number: Its place in the split, from 0.
        explained: What was explained: a class, a label or a target.
        true: What is right.
        value: The model's number for what was explained.
        baseline: Its number for the baseline.
        picture: A `data:` URL; None where it is no picture.
        text: The example as it is in the data; or None.
        names: Of each part that it has: words, or columns; empty: pixels.
        there: Which parts it has.
        is_like_baseline: Whether the baseline gets the same answer, so that what is
            explained is a difference of next to nothing.
    """

    number: int
    explained: str
    true: str
    value: float
    baseline: float
    picture: str | None
    text: str | None
    names: tuple[str, ...]
    there: np.ndarray
    is_like_baseline: bool = False


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Explanations of some answers of a run.

    Args:
        path: The run folder.
        split: The split that the examples are of.
        is_regression: Whether numbers are explained rather than probabilities.
        baseline: What stands for parts that were taken away, in words.
        part: What a part is called: pixel, word, column, step.
        examples: Those that were explained.
        methods: The ways, the most useful first.
        chance: The curves of a random order.
        left_out: Method -> why it was not tried.
        parts: How examples fall into parts.
        seconds: What all of it took.
    """

    path: pathlib.Path
    split: str
    is_regression: bool
    baseline: str
    part: str
    examples: tuple[Shown, ...]
    methods: tuple[Method, ...]
    chance: Curves
    left_out: dict[str, str]
    parts: Parts
    seconds: float

    def method(self, name: str) -> Method:
        """The method of a name."""
        return next(method for method in self.methods if method.name == name)

    def to_json(self) -> dict[str, Any]:
        """Plain values: each method's worth, and each example's strongest parts."""
        return {
            "run_dir": str(self.path),
            "split": self.split,
            "explained": "values" if self.is_regression else "probabilities",
            "baseline": self.baseline,
            "methods": {method.name: method.to_json() for method in self.methods},
            "left_out": self.left_out,
            "examples": [self._example(place) for place in range(len(self.examples))],
            "seconds": round(self.seconds, 3),
        }

    def _example(self, place: int) -> dict[str, Any]:
        shown = self.examples[place]
        return {
            "number": shown.number,
            "explained": shown.explained,
            "true": shown.true,
            "value": shown.value,
            "baseline": shown.baseline,
            "is_like_baseline": shown.is_like_baseline,
            "attributions": {
                method.name: self.strongest(method, place) for method in self.methods
            },
        }

    def strongest(self, method: Method, place: int, count: int = 8) -> list[list[Any]]:
        """The parts of an example that count most: [name, attribution]."""
        shown = self.examples[place]
        there = np.flatnonzero(shown.there)
        values = method.values[place, there]
        order = np.argsort(-np.abs(values), kind="stable")[:count]
        return [[self.name_of(shown, there[i]), float(values[i])] for i in order]

    def name_of(self, shown: Shown, part: int) -> str:
        """What a part of an example is called."""
        if shown.names:
            return shown.names[part]
        if self.parts.number_of.ndim == 2:
            row, column = divmod(int(part), self.parts.number_of.shape[1])
            return f"row {row}, column {column}"
        return f"{self.part} {part}"

    def text(self) -> str:
        """A table for a terminal."""
        return table(self)

    def write(self) -> pathlib.Path:
        """Writes `explain.json` and the page `explain.html` into the run folder.

        Returns:
            The page.

        Raises:
            RefusedError: If the packages that lay out pages are not installed.
        """
        from kerascale.reporting import packages

        packages.refuse_without_packages("explain")
        from kerascale.trust.explanation.page import render

        output_paths.write_json(self.path / layout.EXPLANATION, self.to_json())
        page = self.path / layout.EXPLANATION_PAGE
        output_paths.write(page, render.render(self).encode())
        return page


def table(found: Explanation) -> str:
    """A line for each method."""
    lines = [
        f"  {'':<22}{'deletion':>9}{'insertion':>10}{'over chance':>13}"
        f"{'95 %':>18}{'forgotten':>11}{'seconds':>9}"
    ]
    for method in found.methods:
        gain, low, high = method.gain
        interval = f"{low:+.3f} to {high:+.3f}"
        lines.append(
            f"  {method.title:<22}{method.curves.deletion_areas.mean():>9.3f}"
            f"{method.curves.insertion_areas.mean():>10.3f}{gain:>+13.3f}"
            f"{interval:>18}{method.likeness:>11.2f}{method.seconds:>9.1f}"
        )
    chance = found.chance
    lines.append(
        f"  {'random order':<22}{chance.deletion_areas.mean():>9.3f}"
        f"{chance.insertion_areas.mean():>10.3f}"
    )
    lines += [
        f"  {method.title}: sums are off by {100 * method.completeness_error:.2f} % "
        "of the difference to the baseline"
        + (f", {method.steps} steps" if method.steps else "")
        for method in found.methods
        if method.completeness_error is not None
    ]
    lines += [f"  {method.title}: {what}" for method, what in warnings(found)]
    alike = like_baseline(found)
    if alike:
        lines.append(f"  {alike}")
    lines += [f"  left out: {TITLES[n]}: {why}" for n, why in found.left_out.items()]
    return "\n".join(lines)


def like_baseline(found: Explanation) -> str | None:
    """Of which examples the baseline gets the answer, too; None: of no one."""
    numbers = [f"#{s.number}" for s in found.examples if s.is_like_baseline]
    if not numbers:
        return None
    return (
        f"{len(numbers)} of {len(found.examples)} examples: the baseline gets the same "
        f"answer, so that no {found.part} need decide it ({', '.join(numbers)})"
    )


def warnings(found: Explanation) -> list[tuple[Method, str]]:
    """What a reader of a method's pictures must know."""
    said = []
    for method in found.methods:
        if not method.beats_chance:
            said.append(
                (method, "no better than a random order on these examples: do not use")
            )
        if method.likeness > 0.5:
            said.append(
                (
                    method,
                    "much the same for a model that has forgotten everything "
                    f"({method.likeness:.2f}): it shows the example, not the model",
                )
            )
        error = method.completeness_error
        if error is not None and error > 0.05:
            said.append(
                (method, f"sums are off by {100 * error:.0f} %: take more steps")
            )
    return said
