"""The examples to which a rung gives another answer than the trained model."""

import dataclasses
from typing import Any

import numpy as np

from kerascale.compression.ladder.examples import Examples
from kerascale.compression.measuring.scores import Answers
from kerascale.datasets import text as texts
from kerascale.reporting import examples as shown
from kerascale.runs.run import Run

# Of a rung.
SHOWN = 8
# Tokens before the one that changed.
_CONTEXT = 40


@dataclasses.dataclass(frozen=True)
class Change:
    """One answer that is another one now.

    Args:
        number: The example's place in the split, from 0.
        true: What is right.
        before: What the trained model says.
        now: What the rung says.
        sure_before: The probability that the trained model gives its answer; None:
            it has none.
        sure_now: That of the rung.
        picture: A `data:` URL; None where an example is no picture.
        text: What is known of it, where it is none.
    """

    number: int
    true: str
    before: str
    now: str
    sure_before: float | None
    sure_now: float | None
    picture: str | None
    text: str | None

    @property
    def what(self) -> str:
        """Whether the change is for the worse."""
        if self.before == self.true:
            return "now wrong"
        return "now right" if self.now == self.true else "wrong before and now"


def find(run: Run, data: Examples, answers: Answers) -> list[Change]:
    """The changes, the surest answers first.

    Args:
        run: The run.
        data: The examples.
        answers: Of a rung.
    """
    original = data.original
    places = np.argwhere(answers.predicted != original.predicted)
    sure = [float(original.highest[tuple(place)]) for place in places]
    order = np.argsort(-np.array(sure), kind="stable")[:SHOWN]
    ((_, file),) = data.inputs.items()
    inputs = np.load(file, "r")
    names = _names(run)
    show = showing(run, data, inputs)
    found = []
    for place in (tuple(map(int, places[i])) for i in order):
        picture, text = show(place)
        found.append(
            Change(
                place[0],
                names[data.labels[place]],
                names[original.predicted[place]],
                names[answers.predicted[place]],
                float(original.highest[place]),
                float(answers.highest[place]),
                picture,
                text,
            )
        )
    return found


def _names(run: Run) -> list[str]:
    if run.info.class_names:
        return [str(name) for name in run.info.class_names]
    return [repr(token) for token in texts.shown_tokens(run.vectorizer)]


def showing(run: Run, data: Examples, inputs: np.ndarray) -> Any:
    """What makes (picture, text) of an example.

    Args:
        run: The run.
        data: The examples.
        inputs: All of them, as the model takes them.
    """
    info = run.info
    if info.kind == "corpus":
        tokens = texts.shown_tokens(run.vectorizer)

        def before(place: tuple[int, int]) -> tuple[None, str]:
            row, token = place
            ids = inputs[row, max(0, token + 1 - _CONTEXT) : token + 1]
            return None, "".join(tokens[i] for i in ids)

        return before
    if shown.is_picture(info.input_shape):
        low, high = float(inputs.min()), float(inputs.max())
        return lambda place: (shown.as_picture(inputs[place[0]], low, high), None)
    if info.kind == "text":
        vocabulary = run.vectorizer.get_vocabulary()
        return lambda place: (None, shown.as_words(inputs[place[0]], vocabulary))
    mean, variance = data.datasets.mean, data.datasets.variance
    std = None if variance is None else np.sqrt(variance)
    return lambda place: (
        None,
        shown.as_features(inputs[place[0]], info.feature_names, mean, std),
    )
