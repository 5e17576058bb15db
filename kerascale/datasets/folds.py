"""Which examples are held out: a share of them, or one fold of several.

A class has the same share in each fold; rows of one group are in one fold; or a fold
comes after all that it is tested with has been trained on. Folds are a function of the
seed, and whatever is fitted on examples is fitted on those that are trained on.
"""

import dataclasses
from typing import Any

import numpy as np

from kerascale.datasets import split_columns, splits
from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.split_columns import SplitColumn
from kerascale.errors import RefusedError

# Of a configuration: what decides which examples are held out.
FIELDS = ("folds", "fold", "group", "time")
# Not that of what `splits` draws.
_SEED = 20_251_129
_TEST, _VALIDATION = 1, 2


def three(
    raw: RawData,
    config: Any,
    column: SplitColumn = split_columns.NONE,
    *,
    is_last_use: bool = False,
) -> dict[str, Split]:
    """The splits that a configuration asks for.

    With `folds` the examples that are not for the test are divided into so many parts,
    and those of part `fold` are the test examples; the test examples of a run without
    folds are left out.

    Args:
        raw: The data.
        config: See `TrainingConfig`.
        column: What rows are divided by.
        is_last_use: See `splits.three`.

    Raises:
        RefusedError: With everything that cannot be had; or if a split would be empty.
    """
    folds = getattr(config, "folds", None)
    holds_out = getattr(config, "hold_out_validation", True)
    asked = split_columns.name_of(config)
    if folds is None and holds_out and asked is None:
        return splits.three(raw, config.validation_fraction, is_last_use=is_last_use)
    problems = list(column.problems)
    if folds is not None and asked is None and raw.validation is not None:
        joined = _joined(raw.train, raw.validation)
        raw = dataclasses.replace(raw, train=joined, validation=None)
    rows = len(raw.train.labels)
    if asked is not None and not problems and len(_values(column)) != rows:
        problems.append(
            f"{split_columns.flag_of(config)}: expected a value for each of {rows:,}"
            f" training examples. Received: {len(_values(column)):,}. Use csv:, "
            "parquet: or npz: data"
        )
    if problems:
        problems += _fold_problems(raw.train.labels, config, split_columns.NONE)
        raise RefusedError(problems, heading=raw.name)
    fraction = config.validation_fraction
    everything = np.arange(rows)
    test, rest = raw.test, everything
    if test is None:
        taken = held_out(raw.train.labels, fraction, column, salt=_TEST)
        test, rest = raw.train.take(everything[taken]), everything[~taken]
    if folds is not None:
        own, other = column.take(rest), raw.train.labels[rest]
        problems = _fold_problems(other, config, own)
        if problems:
            raise RefusedError(problems, heading=raw.name)
        in_fold, trained = fold(other, config, own)
        test, rest = raw.train.take(rest[in_fold]), rest[trained]
    validation = raw.validation
    if not holds_out:
        train = raw.train.take(rest)
        train = train if validation is None else _joined(train, validation)
        return {"train": train, "validation": None, "test": test}
    if validation is None or folds is not None:
        taken = held_out(
            raw.train.labels[rest], fraction, column.take(rest), salt=_VALIDATION
        )
        validation, rest = raw.train.take(rest[taken]), rest[~taken]
    return {"train": raw.train.take(rest), "validation": validation, "test": test}


def refuse_inapplicable(name: str, config: Any, what: str) -> None:
    """Refuses fields that data in another form has no use for.

    Args:
        name: What the user calls the data.
        config: The recipe's configuration.
        what: Its form, such as `packed data`.

    Raises:
        RefusedError: Naming each such field.
    """
    given = [n for n in FIELDS if getattr(config, n, None) is not None and n != "fold"]
    if not getattr(config, "hold_out_validation", True):
        given.append("hold_out_validation")
    if given:
        raise RefusedError(
            [
                f"{n}: expected only with examples in memory, and not with {what}. "
                f"Received: {getattr(config, n)!r} with {name}. Leave it out"
                for n in given
            ],
            heading=name,
        )


def held_out(
    labels: np.ndarray, fraction: float, column: SplitColumn, *, salt: int
) -> np.ndarray:
    """Which examples are held out, the same for every seed.

    Args:
        labels: Of shape (examples, ...).
        fraction: The share to take, about; of groups or times whole ones.
        column: What they are divided by.
        salt: Distinguishes the splits that are made of one data set.

    Returns:
        bool of shape (examples,).

    Raises:
        RefusedError: If either part would be empty.
    """
    if column.groups is None and column.times is None:
        return splits.is_taken(splits.strata(labels), fraction, salt=salt)
    if column.times is not None:
        places = np.sort(column.times)
        limit = places[min(len(places) - 1, round(len(places) * (1 - fraction)))]
        taken = column.times >= limit
    else:
        generator = np.random.Generator(np.random.PCG64([_SEED, salt]))
        _, codes, sizes = np.unique(
            column.groups, return_inverse=True, return_counts=True
        )
        order = generator.permutation(len(sizes))
        before = np.cumsum(sizes[order]) - sizes[order]
        chosen = np.zeros(len(sizes), bool)
        chosen[order[before < fraction * len(labels) - sizes[order] / 2]] = True
        chosen[order[:1]] = True  # One group at least.
        taken = chosen[codes]
    if not taken.any() or taken.all():
        what = "groups" if column.times is None else "times"
        raise RefusedError(
            f"Expected enough {what} to hold back {fraction:g} of the examples. "
            "Received: one. Add data, or leave the column out."
        )
    return taken


def fold(
    labels: np.ndarray, config: Any, column: SplitColumn
) -> tuple[np.ndarray, np.ndarray]:
    """Which examples are in a fold, and which are trained on.

    Args:
        labels: Of shape (examples, ...).
        config: With `folds`, `fold` and `seed`.
        column: What they are divided by.

    Returns:
        bool of shape (examples,), each.
    """
    number, count = config.fold, config.folds
    if column.times is not None:
        # Block 0 is trained on alone: what is tested is later than what was trained on.
        limits = _time_limits(column.times, count)
        later = np.searchsorted(limits, column.times, side="right")
        return later == number + 1, later <= number
    if column.groups is not None:
        parts = _parts_of_groups(labels, column.groups, count, config.seed)
    else:
        parts = _parts(labels, count, config.seed)
    return parts == number, parts != number


def _parts(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each example; each class, or range of values, is in all of them."""
    generator = np.random.Generator(np.random.PCG64([_SEED, 3, seed]))
    shuffled = generator.permutation(len(labels))
    shuffled = shuffled[np.argsort(splits.strata(labels)[shuffled], kind="stable")]
    parts = np.empty(len(labels), np.int64)
    parts[shuffled] = np.arange(len(labels)) % count
    return parts


def _parts_of_groups(
    labels: np.ndarray, groups: np.ndarray, count: int, seed: int
) -> np.ndarray:
    """The fold of each example: the largest group first, where it is missed most."""
    generator = np.random.Generator(np.random.PCG64([_SEED, 4, seed]))
    _, codes = np.unique(groups, return_inverse=True)
    classes = splits.strata(labels)
    table = np.zeros((codes.max() + 1, int(classes.max(initial=0)) + 1))
    np.add.at(table, (codes, classes), 1)
    shares = table / np.maximum(table.sum(axis=0), 1)
    order = generator.permutation(len(table))
    order = order[np.argsort(-table.sum(axis=1)[order], kind="stable")]
    held = np.zeros((count, table.shape[1]))
    fold_of = np.zeros(len(table), np.int64)
    for group in order:
        # Adding to a fold costs the more the fuller it is with these classes.
        cost = (held + shares[group]) ** 2 - held**2
        fold_of[group] = int(np.argmin(cost.sum(axis=1) + 1e-9 * held.sum(axis=1)))
        held[fold_of[group]] += shares[group]
    return fold_of[codes]


def _time_limits(times: np.ndarray, count: int) -> np.ndarray:
    """Where each block but the first begins; rows of one time are in one block."""
    ordered = np.sort(times)
    places = [len(ordered) * (i + 1) // (count + 1) for i in range(count)]
    return np.unique(ordered[places])


def _fold_problems(labels: np.ndarray, config: Any, column: SplitColumn) -> list[str]:
    """Why there cannot be so many folds."""
    folds = getattr(config, "folds", None)
    if folds is None:
        return []
    if getattr(config, "fold", None) is None:
        return [
            f"fold: expected which of {folds} folds is held out, from 0. Received: "
            "None. Name it, or train on each in turn: kerascale train RECIPE --folds "
            f"{folds}"
        ]
    if column.times is not None:
        found = len(_time_limits(column.times, folds))
        if (
            found == folds
            and np.min(column.times) < _time_limits(column.times, folds)[0]
        ):
            return []
        return [
            f"folds: expected fewer than there are different times. Received: {folds}. "
            "Take fewer folds"
        ]
    if column.groups is not None:
        found = len(np.unique(column.groups))
        if found > folds:
            return []
        return [
            f"folds: expected fewer than the {found} groups. Received: {folds}. Take "
            "fewer folds"
        ]
    if labels.ndim > 1 or labels.dtype.kind not in "iu":
        smallest, what = len(labels), "examples"
    else:
        counts = np.bincount(labels)
        smallest = int(counts[counts > 0].min(initial=len(labels)))
        what = "examples of the smallest class that are not for the test"
    if folds <= smallest:
        return []
    return [
        f"folds: expected at most {smallest}, the {what}. Received: {folds}. Take "
        "fewer folds"
    ]


def _values(column: SplitColumn) -> np.ndarray:
    found = column.groups if column.groups is not None else column.times
    return np.zeros(0) if found is None else found


def _joined(one: Split, other: Split) -> Split:
    files = None
    if one.files is not None and other.files is not None:
        files = np.concatenate([one.files, other.files])
    return Split(
        np.concatenate([one.features, other.features]),
        np.concatenate([one.labels, other.labels]),
        files,
    )
