"""Builds and measures the rungs of a run, one after the other; goes on after a kill."""

import dataclasses
import hashlib
import importlib.metadata
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import filelock

from kerascale._version import __version__
from kerascale.compression.formats import packages, rungs
from kerascale.compression.formats.rungs import FLOAT, Rung
from kerascale.compression.ladder import (
    build,
    changed,
    examples,
    result,
    rung_folder,
    subject,
)
from kerascale.compression.ladder.changed import Change
from kerascale.compression.ladder.examples import Examples
from kerascale.compression.ladder.result import Ladder, Row
from kerascale.compression.ladder.subject import Compressible
from kerascale.compression.measuring import latency, runtime
from kerascale.compression.measuring.scores import Answers, score
from kerascale.errors import ExportRefusedError, RefusedError
from kerascale.runs import layout
from kerascale.runs.run import Run
from kerascale.runtime.console import say
from kerascale.serving import gate, graph

_BATCH = 32
# Of how rungs are built: those that were built otherwise are built again.
_FORMAT = 1
# A converted float model that is further away than this is another model.
_SAME = 1e-3
_LONGEST = 250
_DISTRIBUTIONS = (
    "tensorflow",
    "keras",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "onnxruntime",
    "tf2onnx",
)


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
        run: A finished run of a classifier or a language model.
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
        )
        base.mkdir(exist_ok=True)
        with filelock.FileLock(base / layout.LOCK):
            ladder = _climbed(what, wishes, wanted, left_out, data, base)
            changes = {
                row.rung: changed.find(
                    run, data, rung_folder.read_answers(pathlib.Path(row.path))
                )
                for row in ladder.rows
            }
    return ladder, changes


def _refuse_other_runs(run: Run) -> None:
    if not run.info.class_names and run.info.kind != "corpus":
        raise RefusedError(
            f"run: expected a classifier or a language model. Received: {run.path}, "
            "whose data has no class names."
        )


def _climbed(
    what: Compressible,
    wishes: Wishes,
    wanted: Sequence[Rung],
    left_out: dict[str, str],
    data: Examples,
    base: pathlib.Path,
) -> Ladder:
    key = _key(what.run, wishes)
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
            record = _build(what, rung, base, data, key, wishes.threads)
        except ExportRefusedError as error:
            left_out[str(rung)] = _brief(error)
            say(f"{where}: left out. {_brief(error)}")
            continue
        wrong = _is_another_model(rung, record["scores"])
        if wrong:
            left_out[str(rung)] = wrong
            say(f"{where}: left out. {wrong}")
            rung_folder.remove(folder)
            continue
        records[rung] = record
    say(f"compress: timing {len(records)} rungs in turns")
    times = _times(what, records, base, data, wishes.threads)
    ladder = _ladder(what, wishes, records, times, left_out, data, base)
    rung_folder.write_json(base / layout.LADDER, ladder.to_json())
    return ladder


def _build(
    what: Compressible,
    rung: Rung,
    base: pathlib.Path,
    data: Examples,
    key: dict[str, Any],
    threads: int,
) -> dict[str, Any]:
    reference = None
    if rung.level != FLOAT:
        reference = rung_folder.place(base, Rung(FLOAT, rung.runtime))
    with (
        # They import their libraries while the rung is built.
        runtime.started(rung.runtime, threads) as process,
        gate.loader_process(rung.format) as loader,
        rung_folder.new(base, rung) as folder,
    ):
        build.build(what, rung, folder, reference, data.calibration)
        path = build.loaded_path(rung, folder)
        signatures = _signatures(rung, folder)
        answers, memory = _answers(process, what.signature(rung.runtime), path, data)
        _, gate_answers = loader.ask(path, what.calls(rung.runtime, signatures))
        names = what.run.info.class_names
        scores = score(answers, data.original, data.labels, names)
        size = build.size_of(folder)
        content = {
            "key": key,
            "size": size,
            "signatures": signatures,
            "scores": scores,
            **memory,
        }
        rung_folder.write(folder, content, answers, gate_answers)
    return rung_folder.read(rung_folder.place(base, rung))


def _signatures(rung: Rung, folder: pathlib.Path) -> list[str]:
    if rung.runtime != "tensorflow":
        return [subject.DEFAULT]
    return list(graph.read_signatures(folder))


def _answers(
    process: runtime.Runtime, signature: str, path: pathlib.Path, data: Examples
) -> tuple[Answers, dict[str, int]]:
    """What a rung answers on the held-out examples, and how much memory that took."""
    with tempfile.TemporaryDirectory(prefix="kerascale-answers-") as scratch:
        output = pathlib.Path(scratch) / layout.RUNG_ANSWERS
        process.ask(do="load", name="it", path=str(path), signature=signature)
        memory = process.ask(
            do="answer",
            name="it",
            inputs=data.inputs,
            labels=data.labels_file,
            batch=_BATCH,
            output=str(output),
        )
        return rung_folder.read_answers(output.parent), memory


def _brief(error: ExportRefusedError) -> str:
    """The first of what a converter says, which may be pages, in one line."""
    lines = " ".join(str(error.problems[0]).splitlines()[:2])
    return lines if len(lines) <= _LONGEST else f"{lines[:_LONGEST]}..."


def _is_another_model(rung: Rung, scores: Mapping[str, Any]) -> str | None:
    """A converter can be wrong without an error: see `findings/`."""
    if rung.level != FLOAT or scores["largest_change"] <= _SAME:
        return None
    return (
        f"the converted float model answers otherwise than the trained one, by up to "
        f"{scores['largest_change']:.3g} in a probability: the converter is wrong here"
    )


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
    names = what.run.info.class_names
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
            result.refusal(record["scores"], wishes.max_drop, not names),
        )
        for rung, record in records.items()
    ]
    return Ladder(
        str(what.run.path),
        data.split,
        len(data.labels),
        not names,
        score(data.original, data.original, data.labels, names),
        wishes.max_drop,
        wishes.threads,
        len(next(iter(data.calibration.values()))),
        result.order(rows),
        left_out,
    )


def _key(run: Run, wishes: Wishes) -> dict[str, Any]:
    """What a rung depends on: of another one nothing is taken over."""
    with (run.path / layout.MODEL).open("rb") as file:
        model = hashlib.file_digest(file, "sha256").hexdigest()
    versions = {"kerascale": __version__}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "format": _FORMAT,
        "model": model,
        "data": run.info.fingerprint,
        "calibration_examples": wishes.calibration_examples,
        "threads": wishes.threads,
        "versions": versions,
    }
