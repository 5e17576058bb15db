"""Audits a run: metrics by group, calibration, drift of new data."""

import os
import pathlib
from typing import Any

import numpy as np

from kerascale.config.tasks import OF_CLASSES
from kerascale.errors import RefusedError
from kerascale.runs.run import Run, load_run
from kerascale.runtime import extras
from kerascale.trust.auditing import calibration, drift, rates, reading
from kerascale.trust.auditing.groups import Groups
from kerascale.trust.auditing.reading import Answered
from kerascale.trust.auditing.result import Audit, Group

_MOST_CLASSES = 20


def audit(
    run: Run | str | os.PathLike,
    *,
    group: str | None = None,
    split: str | None = None,
    data: str | None = None,
    against: str | None = None,
    seed: int = 0,
) -> Audit:
    """Whom a run's model fails, whether its probabilities mean what they say, and
    whether new data is like that of the training.

    Args:
        run: A finished run, or its folder.
        group: A column of the data; the model need not be trained on it. Numbers are
            cut into quarters. None: no groups.
        split: Of which split; None: the one that the run was evaluated on.
        data: Other labelled data, such as `csv:new.csv`, in place of a split.
        against: New data, which needs no labels, to be compared with the training.
        seed: Of all that is drawn.

    Returns:
        The audit. `write()` makes the page and `audit.json`.

    Raises:
        RefusedError: If there is no such column, or the data cannot be had.

    Example:

    ```python
    print(ks.audit("runs/mlp/1", group="sex").text())
    ```
    """
    needed = ["fairlearn"] if group is not None else []
    needed += ["scipy", "sklearn"] if against is not None else []
    extras.refuse_without("audit", "audit", needed)
    if not isinstance(run, Run):
        run = load_run(run)
    info = run.info
    if not info.num_outputs:
        raise RefusedError(
            "audit: expected a run on classes, labels or numbers. Received: "
            + ("a language model." if info.kind == "corpus" else "one on tf.data.")
        )
    if data is not None and split is not None:
        raise RefusedError(
            f"--split: expected without --data. Received: {split}, with --data {data}."
        )
    split = split or run.metrics.get("split") or "train"
    needs_training = against is not None
    asked = reading.answered(run, split, group, data, needs_training=needs_training)
    found = _of_classes if info.task in OF_CLASSES else _of_numbers
    if info.task == "multilabel":
        found = _of_labels
    overall, groups, differences, calibrated = found(run, asked, seed)
    return Audit(
        path=pathlib.Path(run.path),
        what=asked.what,
        task=info.task,
        column=group,
        note="" if asked.groups is None else asked.groups.note,
        overall=overall,
        groups=groups,
        small=() if asked.groups is None else tuple(asked.groups.small),
        differences=differences,
        calibration=calibrated,
        against=against,
        **_drift(run, asked, against, seed),
    )


Found = tuple[Group, tuple[Group, ...], dict[str, Any], dict[str, Any] | None]


def _of_classes(run: Run, asked: Answered, seed: int) -> Found:
    """Accuracy, selection, and the rates of errors."""
    info, labels, outputs = run.info, asked.labels, asked.outputs
    predicted = reading.predicted(run, outputs)
    right = predicted == labels
    is_binary = info.num_classes == 2
    sure = outputs[:, 1] if is_binary else outputs[np.arange(len(labels)), predicted]
    hits = labels == 1 if is_binary else right

    def group_of(name: str, rows: np.ndarray) -> Group:
        values = {"accuracy": rates.with_interval(right[rows])}
        if is_binary:
            truth, said = labels[rows] == 1, predicted[rows] == 1
            values["selection_rate"] = rates.with_interval(said)
            values["true_positive_rate"] = rates.with_interval(said[truth])
            values["false_positive_rate"] = rates.with_interval(said[~truth])
        curve = calibration.measure(sure[rows], hits[rows], seed)
        return Group(name, int(rows.sum()), values, curve)

    overall, groups = _each(asked, group_of)
    differences: dict[str, Any] = {}
    if asked.groups is not None:
        differences["accuracy_difference"] = rates.chance_of_gap(
            right, asked.groups, seed
        )
        differences |= _parity(info, labels, predicted, asked.groups, seed)
    worst = sorted(groups, key=lambda g: (g.examples < 20, g.values["accuracy"][0]))
    return overall, tuple(worst), _without_empty(differences), overall.calibration


def _parity(
    info: Any, labels: np.ndarray, predicted: np.ndarray, groups: Groups, seed: int
) -> dict[str, Any]:
    """Of two classes: of the second; of several, of the class that differs most."""
    if info.num_classes == 2:
        return rates.differences(labels == 1, predicted == 1, groups, seed)
    classes = np.argsort(-np.bincount(labels), kind="stable")[:_MOST_CLASSES]
    worst: dict[str, Any] = {}
    for number in classes:
        own = rates.differences(labels == number, predicted == number, groups, seed)
        for name, found in own.items():
            if name == "demographic_parity_ratio":
                continue
            if name not in worst or found["value"] > worst[name]["value"]:
                worst[name] = {**found, "class": str(info.class_names[number])}
    for found in worst.values():  # The largest of several is larger by chance.
        found["p"] = min(1.0, found["p"] * len(classes))
    return worst


def _of_labels(run: Run, asked: Answered, seed: int) -> Found:
    """Several labels: the share of them that is right."""
    said = asked.outputs >= 0.5
    right = (said == (asked.labels >= 0.5)).mean(axis=1)

    def group_of(name: str, rows: np.ndarray) -> Group:
        mean = rates.bootstrap(lambda v: v.mean(axis=1), right[rows], seed)
        return Group(name, int(rows.sum()), {"accuracy": mean}, None)

    overall, groups = _each(asked, group_of)
    differences = {}
    if asked.groups is not None:
        differences["accuracy_difference"] = rates.chance_of_gap(
            right, asked.groups, seed
        )
    worst = sorted(groups, key=lambda g: (g.examples < 20, g.values["accuracy"][0]))
    sure = asked.outputs.reshape(-1).astype(np.float64)
    hits = asked.labels.reshape(-1) >= 0.5
    return (
        overall,
        tuple(worst),
        _without_empty(differences),
        calibration.measure(sure, hits, seed),
    )


def _of_numbers(run: Run, asked: Answered, seed: int) -> Found:
    """A regression: sizes of errors, and to which side they fall."""
    scale = np.asarray(run.info.target_scale)
    one = len(scale) == 1
    # Of several targets, in deviations of each.
    errors = (asked.outputs - asked.labels).astype(np.float64)
    errors = errors[:, 0] if one else (errors / scale).mean(axis=1)
    sizes = (asked.outputs - asked.labels).astype(np.float64) / (1 if one else scale)
    sizes = np.abs(sizes).mean(axis=1)

    def group_of(name: str, rows: np.ndarray) -> Group:
        values = {
            "mae": rates.bootstrap(lambda v: v.mean(axis=1), sizes[rows], seed),
            "bias": rates.bootstrap(lambda v: v.mean(axis=1), errors[rows], seed),
        }
        return Group(name, int(rows.sum()), values, None)

    overall, groups = _each(asked, group_of)
    differences = {}
    if asked.groups is not None:
        differences = {
            "mae_difference": rates.chance_of_gap(sizes, asked.groups, seed),
            "bias_difference": rates.chance_of_gap(errors, asked.groups, seed),
        }
    worst = sorted(groups, key=lambda g: (g.examples < 20, -g.values["mae"][0]))
    return overall, tuple(worst), _without_empty(differences), None


def _each(asked: Answered, group_of: Any) -> tuple[Group, list[Group]]:
    overall = group_of("all", np.ones(len(asked.labels), bool))
    if asked.groups is None:
        return overall, []
    return overall, [
        group_of(name, asked.groups.of == i)
        for i, name in enumerate(asked.groups.names)
        if asked.groups.sizes[i]
    ]


def _without_empty(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value}


def _drift(run: Run, asked: Answered, against: str | None, seed: int) -> dict[str, Any]:
    if against is None:
        return {}
    new = reading.new_examples(run, against)
    old = asked.training
    if len(new) < 20:
        raise RefusedError(
            f"--against: expected at least 20 examples. Received: {len(new)}."
        )
    columns = [reading.as_columns(run, x) for x in (old, new)]
    outputs = [run.model.predict(x, verbose=0) for x in (old, new)]
    answers = [reading.output_columns(run.info, y) for y in outputs]
    numbers = [_numbers(run, x, y) for x, y in zip((old, new), outputs, strict=True)]
    is_copy = drift.copies(old.reshape(len(old), -1), new.reshape(len(new), -1))
    told_apart = None
    if (~is_copy).sum() >= 20:  # A copy would be told by its twin.
        told_apart = drift.told_apart(numbers[0], numbers[1][~is_copy], seed)
    return {
        "columns": tuple(drift.compare(*columns)),
        "answers": tuple(drift.compare(*answers)),
        "told_apart": told_apart,
        "compared": (len(old), len(new)),
        "copies": int(is_copy.sum()),
    }


def _numbers(run: Run, x: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Rows as a model can tell them apart by: of texts and pictures, the answers."""
    if run.info.kind in ("table", "vector"):
        return x.reshape(len(x), -1).astype(np.float64)
    return outputs.astype(np.float64)
