"""Builds and measures the rungs of a run, one after the other; goes on after a kill."""

import contextlib
import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import filelock

from kerascale.compression.formats import packages, rungs
from kerascale.compression.formats.rungs import FLOAT, TRAINED, Rung
from kerascale.compression.ladder import (
    build,
    changed,
    examples,
    moved,
    one_rung,
    pruned,
    result,
    rung_folder,
    rung_key,
    subject,
)
from kerascale.compression.ladder.changed import Change
from kerascale.compression.ladder.examples import Examples
from kerascale.compression.ladder.result import Ladder, Row
from kerascale.compression.ladder.subject import Compressible
from kerascale.compression.measuring import latency
from kerascale.compression.measuring.scores import score
from kerascale.errors import ExportRefusedError, RefusedError
from kerascale.runs import layout
from kerascale.runs.run import Run
from kerascale.runtime import locks
from kerascale.runtime.console import say

_LONGEST = 250


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What a user asks for.

    Args:
        levels: Of `formats.rungs.LEVELS`; empty: all.
        runtimes: Of `formats.rungs.RUNTIMES`; empty: all that are installed.
        max_drop: How much accuracy may be lost; of a language model, nats added.
        calibration_examples: How many training examples to take ranges from.
        threads: How many threads each runtime computes with.
    """

    levels: Sequence[str] = ()
    runtimes: Sequence[str] = ()
    max_drop: float = 0.01
    calibration_examples: int = 256
    threads: int = 1


def climb(run: Run, wishes: Wishes) -> tuple[Ladder, dict[Rung, list[Change]]]:
    """Builds, measures and judges a run's rungs, beside the run.

    Rungs that a run of the same command has finished are taken as they are.

    Args:
        run: A finished run of a classifier, a regression or a language model.
        wishes: What to build, and the limit.

    Returns:
        The ladder, and the examples whose answer changed, of each rung.

    Raises:
        RefusedError: If the run's data or a package is missing, or a format cannot be.
    """
    names = packages.installed(wishes.runtimes, wishes.levels)
    _refuse_other_runs(run)
    wanted, cannot = rungs.wanted(wishes.levels, wishes.runtimes, run.info, names)
    left_out = {
        rungs.TITLES[rung.runtime]
        if all(each.runtime != rung.runtime for each in wanted)
        else str(rung): reason
        for rung, reason in cannot.items()
    }
    for name in rungs.RUNTIMES:
        if name not in names and not wishes.runtimes:
            left_out[rungs.TITLES[name]] = f"not installed. {packages.INSTALL}"
    what = subject.of(run)
    base = run.path / layout.COMPRESSED
    with tempfile.TemporaryDirectory(prefix="kerascale-compress-") as scratch:
        say(f"compress: reading the data of {run.path}")
        data = examples.read(
            run,
            what.core_face.specs,
            wishes.calibration_examples,
            pathlib.Path(scratch),
            what.ranges,
        )
        with _held(base):
            ladder = _climbed(what, wishes, wanted, left_out, data, base)
            is_numbers = run.info.task == "regression"
            find = moved.find if is_numbers else changed.find
            changes = {
                row.rung: find(
                    run, data, rung_folder.read_answers(pathlib.Path(row.path))
                )
                for row in ladder.rows
            }
    return ladder, changes


@contextlib.contextmanager
def _held(base: pathlib.Path) -> Iterator[None]:
    """Holds the folder of the ladder against another process."""
    try:
        base.mkdir(exist_ok=True)
        with filelock.FileLock(base / layout.LOCK, timeout=0):
            yield
    except filelock.Timeout as error:
        raise RefusedError(
            f"run: {base} is held by another kerascale compress"
            f"{locks.holder(base / layout.LOCK)}. Wait for it."
        ) from error


def _refuse_other_runs(run: Run) -> None:
    if not os.access(run.path, os.W_OK):
        raise RefusedError(
            "run: expected a folder that can be written, for the versions beside the "
            f"run. Received: {run.path}."
        )
    info = run.info
    is_measured = info.class_names or info.task == "regression"
    if not is_measured and info.kind != "corpus":
        raise RefusedError(
            "run: expected a classifier, a regression or a language model. Received: "
            f"{run.path}, whose data has no class names (task {info.task})."
        )


def _climbed(
    what: Compressible,
    wishes: Wishes,
    wanted: Sequence[Rung],
    left_out: dict[str, str],
    data: Examples,
    base: pathlib.Path,
) -> Ladder:
    key = rung_key.of(what.run, wishes.calibration_examples, wishes.threads)
    records: dict[Rung, dict[str, Any]] = {}
    for number, rung in enumerate(wanted, 1):
        where = f"[{number}/{len(wanted)}] {rung}"
        float_rung = Rung(FLOAT, rung.runtime)
        if rung.level != FLOAT and float_rung not in records:
            left_out[str(rung)] = f"there is no {float_rung}"
            continue
        folder = rung_folder.place(base, rung)
        record = rung_folder.read(folder)
        if record is not None and record["key"] == key:
            records[rung] = record
            say(f"{where}: there already")
            continue
        say(f"{where} ...")
        try:
            own = what
            if rung.level in TRAINED:
                own = subject.of(pruned.pruned(what.run, rung.level, base, key))
            record = one_rung.make(own, rung, base, data, key, wishes.threads)
        except ExportRefusedError as error:
            left_out[str(rung)] = _brief(error)
            say(f"{where}: left out. {_brief(error)}")
            continue
        records[rung] = record
    say(f"compress: timing {len(records)} rungs in turns")
    times = _times(what, records, base, data, wishes.threads)
    ladder = _ladder(what, wishes, records, times, left_out, data, base)
    rung_folder.write_json(base / layout.LADDER, ladder.to_json())
    return ladder


def _zipped_share(record: dict[str, Any], before: dict[str, Any]) -> float | None:
    sizes = [each.get("zipped_size") for each in (record, before)]
    return None if None in sizes else sizes[0] / sizes[1]


def _brief(error: ExportRefusedError) -> str:
    """The first of what a converter says, which may be pages, in one line."""
    lines = " ".join(str(error.problems[0]).splitlines()[:2])
    return lines if len(lines) <= _LONGEST else f"{lines[:_LONGEST]}..."


def _times(
    what: Compressible,
    records: Mapping[Rung, Any],
    base: pathlib.Path,
    data: Examples,
    threads: int,
) -> dict[Rung, Any]:
    places = {
        rung: (
            build.loaded_path(rung, rung_folder.place(base, rung)),
            what.signature(rung.runtime),
        )
        for rung in records
    }
    return latency.measure(places, data.inputs, threads)


def _ladder(
    what: Compressible,
    wishes: Wishes,
    records: Mapping[Rung, dict[str, Any]],
    times: Mapping[Rung, Any],
    left_out: dict[str, str],
    data: Examples,
    base: pathlib.Path,
) -> Ladder:
    rows = [
        Row(
            rung,
            str(rung_folder.place(base, rung)),
            record["size"],
            record["size"] / records[Rung(FLOAT, rung.runtime)]["size"],
            record["scores"],
            record["peak_bytes"],
            record["own_bytes"],
            times[rung],
            result.refusal(record["scores"], wishes.max_drop),
            _zipped_share(record, records[Rung(FLOAT, rung.runtime)]),
        )
        for rung, record in records.items()
    ]
    return Ladder(
        str(what.run.path),
        data.split,
        len(data.labels),
        score(data.original, data.original, data.labels, what.run.info),
        wishes.max_drop,
        wishes.threads,
        len(next(iter(data.calibration.values()))),
        result.order(rows),
        left_out,
    )
