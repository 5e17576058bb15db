"""What a model got most wrong on examples that training never saw."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from kerascale.config import recipes
from kerascale.datasets import Datasets, origins
from kerascale.datasets import text as texts_as_ids
from kerascale.datasets.targets import decided
from kerascale.errors import RefusedError
from kerascale.reporting import examples
from kerascale.runs.run import Run
from kerascale.training import build

_SHOWN = 12
_TEXTS_SHOWN = 6
# A character that the model gave less than this is marked in a text.
SURPRISING = 0.01


@dataclasses.dataclass(frozen=True)
class Mistake:
    """An example that was given a wrong class.

    Args:
        number: Its place in the split, from 0.
        true: The class that it has.
        predicted: The class that it was given.
        confidence: The probability of the class that it was given.
        probability: That of the class that it has.
        picture: A `data:` URL; None where an example is no picture.
        text: What is known of it, where it is none.
        file: Where the picture was read from, if it has a file of its own; or None.
    """

    number: int
    true: str
    predicted: str
    confidence: float
    probability: float
    picture: str | None
    text: str | None
    file: str | None = None


@dataclasses.dataclass(frozen=True)
class HardText:
    """A piece of text that a language model did not expect.

    Args:
        number: The window's place in the split, from 0.
        nats: The mean over its characters.
        characters: Each with whether the model gave it less than `SURPRISING`.
    """

    number: int
    nats: float
    characters: list[tuple[str, bool]]


def read_again(run: Run) -> Datasets:
    """The data of a run, read again.

    Raises:
        RefusedError: If its recipe or its data cannot be had, or the data is not
            what the run was trained on.
    """
    if run.info.fingerprint is None:
        raise RefusedError(
            "data: expected a source that can be read again. Received: a tf.data "
            "pipeline from Python, of which the run kept no examples."
        )
    config = run.config
    with origins.are_kept():
        datasets = build.make_datasets(recipes.load_recipe(run.recipe), config)
    now = datasets.info
    if now.fingerprint != run.info.fingerprint:
        raise RefusedError(
            f"data: expected the examples that the run was trained on "
            f"({run.info.name}, sha256 {run.info.fingerprint}). Received: others "
            f"({now.name}, sha256 {now.fingerprint}). Bring the data back."
        )
    return datasets


def open_split(run: Run, split: str) -> tuple[Datasets, Any]:
    """The data of a run, read again, and one split of it.

    Raises:
        RefusedError: See `read_again`; and if there is no such split.
    """
    datasets = read_again(run)
    source = getattr(datasets, split, None)
    if source is None:
        raise RefusedError(f"data: {datasets.info.name} has no {split} split any more.")
    return datasets, source.for_evaluation()


def worst(run: Run, datasets: Datasets, source: Any, split: str) -> list[Mistake]:
    """The mistakes with the largest loss, worst first.

    Args:
        run: A run of a classifier.
        datasets: Its data.
        source: The split to look at.
        split: Its name.
    """
    found: list[tuple[float, int, int, int, np.ndarray, np.ndarray]] = []
    lowest, highest = np.inf, -np.inf
    threshold = run.metrics.get("threshold")
    for first, x, labels, outputs in _batches(run, source):
        if examples.is_picture(x.shape[1:]):
            lowest, highest = min(lowest, x.min()), max(highest, x.max())
        predicted = decided(outputs, threshold)
        for i in np.flatnonzero(predicted != labels):
            true = int(labels[i])
            probability = float(outputs[i, true])
            found.append(
                (probability, first + int(i), true, int(predicted[i]), outputs[i], x[i])
            )
        # All mistakes of a large split would not fit in memory.
        found = sorted(found, key=lambda each: each[:2])[:_SHOWN]
    names = [str(name) for name in run.info.class_names]
    show = _showing(run, datasets, float(lowest), float(highest))
    origin = datasets.origins.get(split)
    mistakes = []
    for probability, number, true, predicted, outputs, x in found:
        picture, text = show(x)
        written = None if origin is None else str(origin[number])
        if picture is None and written is not None:
            text, written = examples.as_written(written), None
        mistakes.append(
            Mistake(
                number,
                names[true],
                names[predicted],
                float(outputs[predicted]),
                probability,
                picture,
                text,
                written,
            )
        )
    return mistakes


def _batches(run: Run, source: Any) -> Iterator[tuple[int, Any, Any, np.ndarray]]:
    first = 0
    for x, y in source.dataset():
        labels = np.asarray(y)
        yield first, np.asarray(x), labels, np.asarray(run.model.predict_on_batch(x))
        first += len(labels)


def _showing(run: Run, datasets: Datasets, lowest: float, highest: float) -> Any:
    """What makes (picture, text) of an example."""
    info = run.info
    if examples.is_picture(info.input_shape):
        return lambda x: (examples.as_picture(x, lowest, highest), None)
    if info.kind == "text":
        vocabulary = run.vectorizer.get_vocabulary()
        return lambda x: (None, examples.as_words(x, vocabulary))
    if info.kind == "table":  # Its rows are told as they stand in the file.
        return lambda x: (None, None)
    mean = datasets.mean
    std = None if datasets.variance is None else np.sqrt(datasets.variance)
    return lambda x: (None, examples.as_features(x, info.feature_names, mean, std))


def hardest(run: Run, source: Any) -> list[HardText]:
    """The windows of a text with the largest loss, worst first.

    Args:
        run: A run of a language model.
        source: The split to look at.
    """
    vocabulary = texts_as_ids.shown_tokens(run.vectorizer)
    found: list[tuple[float, int, np.ndarray, np.ndarray, np.ndarray]] = []
    for first, x, labels, outputs in _batches(run, source):
        given = np.take_along_axis(outputs, labels[..., None], axis=-1)[..., 0]
        smallest = np.finfo(given.dtype).tiny
        nats = -np.log(np.maximum(given, smallest), dtype=np.float64).mean(axis=-1)
        found += [
            (-float(nats[i]), first + i, x[i], labels[i], given[i])
            for i in range(len(labels))
        ]
        found = sorted(found, key=lambda each: each[:2])[:_TEXTS_SHOWN]
    texts = []
    for nats, number, x, labels, given in found:
        characters = examples.as_characters(np.append(x[:1], labels), vocabulary)
        marks = [False, *(bool(p < SURPRISING) for p in given)]
        texts.append(HardText(number, -nats, list(zip(characters, marks, strict=True))))
    return texts
