"""Two cross-validations on the same folds, compared by the corrected test."""

import dataclasses
import json
import pathlib
from typing import Any

from kerascale.errors import RefusedError
from kerascale.runs import files, layout
from kerascale.tuning import corrected_t_test
from kerascale.tuning.corrected_t_test import Tested

# What decides which examples are in which fold.
_DIVIDE = ("dataset", "label", "test_data", "folds", "group", "time", "seed")
_SHARE = "validation_fraction"


@dataclasses.dataclass(frozen=True)
class ComparedFolds:
    """Two recipes on the same folds.

    Args:
        names: The two folders.
        folds: How many folds there are.
        scores: Metric -> for each of the two the score of each fold.
        tested: Metric -> what the test has found.
        ratio: Examples that are tested on over those that are trained on.
    """

    names: tuple[str, str]
    folds: int
    scores: dict[str, tuple[list[float], list[float]]]
    tested: dict[str, Tested]
    ratio: float


def compare(first: str, second: str) -> ComparedFolds:
    """Compares two cross-validations.

    Args:
        first: The folder of one, as `kerascale train --folds` has made it.
        second: That of the other.

    Raises:
        RefusedError: With everything in which their folds differ.
    """
    paths = (pathlib.Path(first), pathlib.Path(second))
    found = [json.loads((p / layout.FOLDS).read_text(encoding="utf-8")) for p in paths]
    configs = [files.read_config(path / f"{layout.FOLD}0") for path in paths]
    problems = []
    for name in (*_DIVIDE, _SHARE):
        one, other = (config["fields"].get(name) for config in configs)
        if one != other:
            problems.append(
                f"{name}: expected {one!r}, as in {first}. Received: {other!r}"
            )
    one, other = (config["data"].get("fingerprint") for config in configs)
    if one != other:
        problems.append(
            f"data: expected that of {first}, with sha256 {str(one)[:12]}. Received: "
            f"{str(other)[:12]}"
        )
    if problems:
        raise RefusedError(problems, heading="compare: not the same folds")
    names = [n for n in found[0]["mean"] if n in found[1]["mean"] and n != "examples"]
    scores = {
        name: tuple([each[name] for each in folds["folds"]] for folds in found)
        for name in names
    }
    ratio = _ratio(paths[0], configs[0]["fields"]["folds"])
    return ComparedFolds(
        (first, second),
        configs[0]["fields"]["folds"],
        scores,
        {n: corrected_t_test.test(*pair, ratio) for n, pair in scores.items()},
        ratio,
    )


def _ratio(path: pathlib.Path, folds: int) -> float:
    counts = [
        files.read_config(path / f"{layout.FOLD}{k}")["data"]["num_examples"]
        for k in range(folds)
    ]
    return sum(c["test"] / c["train"] for c in counts) / folds


def text(compared: ComparedFolds) -> str:
    """The comparison as a person reads it on a terminal."""
    lines = [
        f"A  {compared.names[0]}",
        f"B  {compared.names[1]}",
        "",
        f"the same {compared.folds} folds; t and p by the corrected resampled t-test "
        "(Nadeau and Bengio 2003)",
        f"  {'':<12} {'A':>9} {'B':>9} {'B - A':>9} {'t':>7} {'p':>7}",
    ]
    for name, (one, other) in compared.scores.items():
        tested = compared.tested[name]
        means = (sum(one) / len(one), sum(other) / len(other))
        lines.append(
            f"  {name:<12} {means[0]:>9.4f} {means[1]:>9.4f} "
            f"{tested.difference:>+9.4f} {tested.t:>7.2f} {tested.p:>7.3f}"
        )
    return "\n".join(lines)


def to_json(compared: ComparedFolds) -> dict[str, Any]:
    """The same as plain values."""
    return dataclasses.asdict(compared)
