"""Builds one rung, and measures what it answers, before its folder gets its name."""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

from kerascale.compression.formats.rungs import FLOAT, Rung
from kerascale.compression.ladder import build, rung_folder, subject
from kerascale.compression.ladder.examples import Examples
from kerascale.compression.ladder.subject import Compressible
from kerascale.compression.measuring import measures, runtime
from kerascale.compression.measuring.scores import Answers, changes, score
from kerascale.datasets.info import DataInfo
from kerascale.errors import ExportRefusedError
from kerascale.runs import layout
from kerascale.serving import gate, graph

_BATCH = 32
# A converted float model that is further away than this is another model: in a
# probability, or in deviations of a target.
_SAME = 1e-3
# Of integer kernels, which add and round in another order than floats.
_AS_TRAINED = 5e-3


def make(
    what: Compressible,
    rung: Rung,
    base: pathlib.Path,
    data: Examples,
    key: dict[str, Any],
    threads: int,
) -> dict[str, Any]:
    """Makes a rung, and returns its record.

    Args:
        what: What is compressed.
        rung: The rung.
        base: The folder of the ladder.
        data: The examples.
        key: What the rung depends on.
        threads: How many threads its runtime computes with.

    Raises:
        ExportRefusedError: If the model cannot be converted, does not run in its
            runtime, or is another model there; with the reason.
    """
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
        info = what.run.info
        scores = score(answers, data.original, data.labels, info)
        _refuse_another_model(rung, scores)
        if rung.level == "int8" and data.in_integers is not None:
            scores["as_trained"] = _as_trained(answers, data, info)
        size = build.size_of(folder)
        content = {
            "key": key,
            "size": size,
            "zipped_size": build.zipped_size_of(folder),
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


def _as_trained(answers: Answers, data: Examples, info: DataInfo) -> dict[str, float]:
    """How near integers are to what training took them for."""
    scores = score(answers, data.in_integers, data.labels, info)
    found = {
        "agreement": scores["agreement"],
        "mean_change": float(changes(answers, data.in_integers, info).mean()),
        "largest_change": scores["largest_change"],
    }
    if not found["mean_change"] <= _AS_TRAINED:
        raise ExportRefusedError(
            "integers answer otherwise than the training took them to, by "
            f"{found['mean_change']:.3g} {measures.of(scores).change} in the mean, "
            f"where {_AS_TRAINED} is the limit: kernels round otherwise here"
        )
    return found


def _refuse_another_model(rung: Rung, scores: Mapping[str, Any]) -> None:
    """A converter can be wrong without an error: see `findings/`."""
    if rung.level == FLOAT and not scores["largest_change"] <= _SAME:
        raise ExportRefusedError(
            "the converted float model answers otherwise than the trained one, by up "
            f"to {scores['largest_change']:.3g} {measures.of(scores).change}: the "
            "converter is wrong here"
        )
