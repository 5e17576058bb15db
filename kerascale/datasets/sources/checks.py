"""Checks that several sources share: one wording, one limit on what is listed."""

import os
from collections.abc import Callable, Iterable
from typing import final

import numpy as np

from kerascale.config.fields import nearest
from kerascale.datasets.raw import Kind
from kerascale.errors import RefusedError

MAX_LISTED = 20


@final
class Problems:
    """Collects what is wrong, so that somebody can mend all of it in one go.

    The first `MAX_LISTED` problems are listed, the others counted: a file with a
    million bad cells gives a message that can be read.

    Args:
        heading: What is refused; printed above the problems.
        subject: Put before a problem that stands alone, where the problems do not
            name the file themselves.
    """

    def __init__(self, heading: str, subject: str = "") -> None:
        self.heading = heading
        self.subject = subject
        self.listed: list[str] = []
        self.total = 0

    def add(self, problem: str) -> None:
        """Notes one more problem."""
        self.total += 1
        if len(self.listed) < MAX_LISTED:
            self.listed.append(problem)

    def add_at(self, places: np.ndarray, problem_at: Callable[[int], str]) -> None:
        """Notes one problem for each of `places`, worded by `problem_at(place)`.

        The wording is asked for only where it is listed.
        """
        room = MAX_LISTED - len(self.listed)
        self.listed.extend(problem_at(place) for place in places[:room])
        self.total += len(places)

    def __bool__(self) -> bool:
        return self.total > 0

    def raise_if_any(self) -> None:
        """Refuses, if there is a problem.

        Raises:
            RefusedError: With all that was listed.
        """
        if self:
            if self.total == 1 and self.subject:
                raise RefusedError(f"{self.subject}: {self.listed[0]}")
            more = self.total - len(self.listed)
            last = [f"and {more} more"] if more else []
            raise RefusedError(self.listed + last, heading=self.heading)


def listing(names: Iterable[object]) -> str:
    """`'a', 'b', 'c'`, cut to a length that can be read."""
    shown = [repr(name) for name in names]
    more = len(shown) - MAX_LISTED
    if more > 0:
        shown = [*shown[:MAX_LISTED], f"and {more} more"]
    return ", ".join(shown) if shown else "none"


def check_file(path: str, expected: str) -> None:
    """Refuses a path that is missing, a folder, or may not be read.

    Args:
        path: The path that the user gave.
        expected: What should be there, such as `a CSV file`.

    Raises:
        RefusedError: Names the path, and the nearest file name in its folder.
    """
    path = os.fspath(path)
    if os.path.isfile(path):
        if os.access(path, os.R_OK):
            return
        raise RefusedError(
            f"Expected {expected}. Received: {path!r}, which may not be read. Change "
            "its permissions."
        )
    if os.path.isdir(path):
        raise RefusedError(
            f"Expected {expected}. Received: {path!r}, which is a folder. Name a "
            "file in it."
        )
    folder, name = os.path.split(path)
    try:
        neighbours = os.listdir(folder or ".")
    except OSError:
        neighbours = []
    raise RefusedError(
        f"Expected {expected}. Received: {path!r}, which does not exist."
        f"{nearest(name, neighbours)} Check the path."
    )


def _as_float32(
    features: np.ndarray, place: str, problems: Problems, first: int
) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = features.astype(np.float32, copy=False)
    finite = np.isfinite(values)
    if not finite.all():

        def problem_at(flat: int) -> str:
            index = tuple(int(i) for i in np.unravel_index(flat, values.shape))
            value = features[index]
            index = (index[0] + first, *index[1:])
            why = "too large for float32" if np.isfinite(value) else "not finite"
            where = ", ".join(str(i) for i in index)
            return (
                f"{place}[{where}]: expected a finite number. Received: {value}, "
                f"which is {why}. Correct or remove example {index[0]}."
            )

        problems.add_at(np.flatnonzero(~finite), problem_at)
    return values


def _as_image(
    features: np.ndarray, place: str, problems: Problems, first: int
) -> np.ndarray:
    channels = features.shape[-1]
    if channels not in (1, 3, 4):
        hint = (
            f"Channels come last: pass np.moveaxis({place}, 1, -1)."
            if features.shape[1] in (1, 3, 4)
            else "Drop or join the others."
        )
        problems.add(
            "Expected images of shape (examples, height, width, channels) with 1, 3 "
            f"or 4 channels. Received: {place} of shape {features.shape}. {hint}"
        )
        return features
    if features.dtype.kind in "iu":
        low, high = int(features.min()), int(features.max())
        if low < 0 or high > 255:
            problems.add(
                f"Expected integer pixels in 0..255. Received: {place} with values "
                f"in {low}..{high}. Divide and pass float32, or pass "
                f"{place}.astype('float32') if these are no images."
            )
        return features.astype(np.uint8, copy=False)
    return _as_float32(features, place, problems, first)


def _as_text(
    features: np.ndarray, place: str, problems: Problems, first: int
) -> np.ndarray:
    if features.ndim != 1:
        problems.add(
            "Expected texts of shape (examples,). Received: "
            f"{place} of shape {features.shape}. Join the columns into one text."
        )
        return features
    texts = np.empty(len(features), dtype=object)
    texts[:] = features.tolist()
    bad = [i for i, text in enumerate(texts) if not isinstance(text, str)]
    problems.add_at(
        np.array(bad, dtype=np.int64),
        lambda i: (
            f"{place}[{i + first}]: expected a str, as {place} is an array of objects. "
            f"Received: {type(texts[i]).__name__}. Pass numbers in a numeric dtype."
        ),
    )
    blank = [i for i, t in enumerate(texts) if isinstance(t, str) and not t.strip()]
    problems.add_at(
        np.array(blank, dtype=np.int64),
        lambda i: (
            f"{place}[{i + first}]: expected text. Received: {texts[i]!r}. Remove it."
        ),
    )
    return texts


def check_features(
    features: np.ndarray,
    place: str,
    problems: Problems,
    kind: Kind | None = None,
    first: int = 0,
) -> tuple[Kind, np.ndarray] | None:
    """The kind of `features` and the array as `Split` wants it.

    Text is told by its dtype. Rank 2 is `vector`, rank 4 `image`. Rank 3 is
    `image`, gray, where the dtype is an integer, otherwise `vector` of shape
    (examples, time, features): a series is seldom stored as integers.

    Args:
        features: What the user gave.
        place: What the user calls it, such as `x_train`.
        problems: Where to note what is wrong.
        kind: The kind, where it is known already (in prediction).
        first: The number of the first example, where others stand before them.

    Returns:
        The kind and the array; None, with problems noted, where no kind fits.
    """
    received = f"Received: {place} of shape {features.shape} and {features.dtype}."
    if features.size == 0:
        problems.add(f"Expected at least one example. {received}")
        return None
    if features.dtype.kind in "OUT":
        return "text", _as_text(features, place, problems, first)
    if features.dtype.kind not in "buif":
        problems.add(f"Expected numbers or text. {received} Convert it.")
        return None
    if features.ndim == 3 and (
        kind == "image" or (kind is None and features.dtype.kind in "iu")
    ):
        return "image", _as_image(features[..., None], place, problems, first)
    if features.ndim == 4:
        return "image", _as_image(features, place, problems, first)
    if features.ndim in (2, 3):
        return "vector", _as_float32(features, place, problems, first)
    problems.add(
        "Expected features of shape (examples, features), (examples, time, features), "
        f"(examples, height, width) or (examples, height, width, channels). {received}"
        f"{f' Pass {place}[:, None] for one feature.' if features.ndim == 1 else ''}"
    )
    return None
