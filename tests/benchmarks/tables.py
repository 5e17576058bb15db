"""`kerascale tune mlp` on tables, beside scikit-learn's HistGradientBoosting.

`python -m tests.benchmarks.tables [--tables people,rides] [--trials 30] [--folder F]`.
Two tables are made, five are public and shipped with packages; a fifth of the rows is
for the test, of which the search sees nothing. One command for all tables: `COMMAND`.
The trees have scikit-learn's default settings, dates as day, weekday, day of the year
and hour, and all rows that are not for the test, as the last training of `--best` has.
What was done stays in the folder: the same command goes on.
"""

import argparse
import dataclasses
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from . import environments, made_tables
from .runners import trees

COMMAND = (
    *("--optimizer", "adamw", "--schedule", "cosine", "--members", "8"),
    *("--execution", "loop", "--epochs", "16"),
    *("--field", "learning_rate=log:1e-3..1e-2", "--field", "dropout=0..0.3"),
    *("--field", "units=[64 64,128 128,256 256]", "--field", "batch_size=[128,256]"),
    *("--field", "weight_decay=log:1e-3..0.3"),
)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table, and what is asked of it.

    Args:
        label: The column that is to be told.
        measure: `auc`, or `rmse`.
        dates: Column -> how its dates are written, for the trees.
        more: Further arguments of the command.
    """

    label: str
    measure: str
    dates: Mapping[str, str] = dataclasses.field(default_factory=dict)
    more: tuple[str, ...] = ()


# Of numbers that are never negative.
_POSITIVE = ("--field", "regression_loss=[squared,poisson]")
TABLES = {
    "people": Table("rich", "auc", {"since": "%d.%m.%Y"}),
    "rides": Table("rides", "rmse", {"when": "%Y-%m-%d %H:%M"}, _POSITIVE),
    "diamonds": Table("price", "rmse", more=_POSITIVE),
    "flights": Table("late", "auc", {"scheduled": "%Y-%m-%d %H:%M"}),
    "affairs": Table("affairs", "auc"),
    "randhie": Table("mdvis", "rmse", more=(*_POSITIVE, "--task", "regression")),
    "breast_cancer": Table("target", "auc"),
}


def measure(
    name: str, trials: int, folder: pathlib.Path, python: str
) -> dict[str, Any]:
    """What both reach on the test rows of a table.

    Args:
        name: One of `TABLES`.
        trials: Of the search.
        folder: Where tables, studies and results are.
        python: That of the trees' environment.
    """
    table, place = TABLES[name], folder / name
    place.mkdir(parents=True, exist_ok=True)
    train, test = place / "train.csv", place / "test.csv"
    if not test.is_file():
        _write(name, train, test, python)
    job = {"table": name, "train": str(train), "test": str(test)}
    asked = {"label": table.label, "dates": dict(table.dates), "measure": table.measure}
    found_by_trees = _trees(python, {"do": "score", **job, **asked})
    began = time.monotonic()
    command = [sys.executable, "-m", "kerascale", "tune", "mlp", *COMMAND, *table.more]
    command += ["--dataset", f"csv:{train}", "--test-data", str(test)]
    command += ["--label", table.label, "--monitor", f"val_{table.measure}"]
    command += ["--trials", str(trials), "--best", "--json"]
    command += ["--study", str(place / "study")]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(ended.stdout.splitlines()[-1])
    result = {
        "measure": table.measure,
        "mlp": found["final"]["metrics"][table.measure],
        "trees": found_by_trees["score"],
        "fields": found["best"]["fields"],
        "tried": found["tried"],
        "seconds": round(time.monotonic() - began, 1),
    }
    (place / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result


def _write(name: str, train: pathlib.Path, test: pathlib.Path, python: str) -> None:
    if name in made_tables.MADE:
        for part, path in zip(
            trees.split(made_tables.MADE[name]()), (train, test), strict=True
        ):
            part.to_csv(path, index=False)
        return
    job = {"do": "write", "table": name, "train": str(train), "test": str(test)}
    _call(python, job)


def _trees(python: str, job: dict[str, Any]) -> dict[str, Any]:
    return json.loads(_call(python, job).splitlines()[-1])


def _call(python: str, job: dict[str, Any]) -> str:
    command = [python, trees.__file__, json.dumps(job)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def line(name: str, result: Mapping[str, Any]) -> str:
    """A row of the table that is printed."""
    ours, theirs = result["mlp"], result["trees"]
    if result["measure"] == "auc":
        behind, kept = theirs - ours, theirs - ours <= 0.01
        how = f"{behind:+.4f}"
    else:
        behind, kept = ours / theirs - 1, ours / theirs <= 1.02
        how = f"{behind:+.1%}"
    return (
        f"{name:<14} {result['measure']:<5} {ours:>10.5g} {theirs:>10.5g} "
        f"{how:>9} {'yes' if kept else 'NO':>4}  {result['seconds']:>7.0f} s"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--folder", type=pathlib.Path)
    options = parser.parse_args(arguments)
    names = options.tables.split(",")
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        parser.error(
            f"--tables: expected some of {', '.join(TABLES)}. Received: "
            f"{', '.join(unknown)}"
        )
    folder = options.folder or environments.cache_folder() / "tables"
    say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    python = environments.get("tables", say).python
    head = f"{'table':<14} {'':<5} {'mlp':>10} {'trees':>10} {'behind':>9} {'kept':>4}"
    print(head, flush=True)
    for name in names:
        result = measure(name, options.trials, folder, python)
        print(line(name, result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
