"""A rung as the next version of a served model, through the gate of any version."""

import os
import pathlib
import shutil

from kerascale.compression.formats.rungs import Rung
from kerascale.compression.ladder import build, paths, rung_folder, subject
from kerascale.errors import ExportRefusedError
from kerascale.runs.run import Run
from kerascale.serving import (
    compatibility,
    folders,
    formats,
    gate,
    graph,
    promotion,
    server_files,
)


def export(
    run: Run,
    path: str | os.PathLike,
    rung: Rung,
    destination: str | os.PathLike,
    *,
    max_drop: float,
    allow_breaking: bool = False,
) -> pathlib.Path:
    """Writes a rung as the next version.

    It is loaded in a process without Keras and kerascale, and must answer as it did
    when it was measured; then it is compared with the version that is served.

    Args:
        run: The run that was compressed.
        path: See `paths.find`.
        rung: What it found.
        destination: The folder of the versions.
        max_drop: How much worse the main metric may be than the served version's.
        allow_breaking: Exports although a client would find something changed, or the
            rung is beyond the limit of its ladder.

    Returns:
        The folder of the new version.

    Raises:
        RefusedError: If the folder has other formats.
        ExportRefusedError: If the rung is beyond its limit, is not what was measured,
            or cannot take the place of the served version.
    """
    base = pathlib.Path(destination)
    server_files.read(base)
    formats.refuse_other(base, rung.format)
    source = rung_folder.place(paths.ladder_of(path), rung)
    measured = _measured(source, rung)
    refused = paths.refusal_of(path, measured)
    if refused and not allow_breaking:
        raise ExportRefusedError(
            f"expected a rung within the limit of its ladder. Received: {rung}: "
            f"{refused}. Export another one, or with --allow-breaking"
        )
    what = subject.of(run)
    names = list(measured["signatures"])
    calls = what.calls(rung.runtime, names)
    with folders.temporary(base) as temporary, gate.loader_process(rung.format) as it:
        for file in measured["files"]:
            (temporary / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, temporary / file)
        tensors, answers = it.ask(build.loaded_path(rung, temporary), calls)
        gate.compare(calls, rung_folder.read_gate(source), answers)
        if rung.runtime == "tensorflow":
            signatures = graph.read_signatures(temporary)
            compatibility.refuse_frozen_batch(signatures)
        else:
            one = {"method": rung.format, **tensors}
            signatures = {subject.DEFAULT: one}
            compatibility.refuse_frozen_batch({subject.DEFAULT: {**one, "outputs": {}}})
        return promotion.commit(
            temporary,
            base,
            what.as_measured(rung, measured["scores"]),
            signatures,
            max_drop=max_drop,
            allow_breaking=allow_breaking,
        )


def _measured(source: pathlib.Path, rung: Rung) -> dict:
    measured = rung_folder.read(source)
    if measured is None:
        raise ExportRefusedError(
            f"expected the files that were measured. Received: {source}, where one is "
            f"missing or has changed since. Build {rung} again: kerascale compress"
        )
    return measured
