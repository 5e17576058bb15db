"""`kerascale export RUN DEST`: the next version of a served model."""

import dataclasses
import math
import pathlib
import shlex
from collections.abc import Sequence

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish
from kerascale.errors import RefusedError
from kerascale.serving import formats, server_files

_USAGE = "RUN DEST [--format F] [--max-drop D] [--allow-breaking] [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Write a run's model as the next numbered version in a folder that a server
    watches, if it can take the place of the version that is served."""

    format: formats.Name | None = None
    """saved_model for TF Serving; onnx needs kerascale[onnx], litert needs
    kerascale[litert]. Default: saved_model; of runs/NAME/N/compressed/LEVEL that of its
    smallest version."""
    max_drop: float = 0.02
    """How much worse the main metric (accuracy; nats of a language model) may be than
    that of the version that is served. 0.02 is what the accuracy on a few hundred
    examples moves by itself."""
    allow_breaking: bool = False
    """Export although inputs, outputs or labels differ from those that are served, or
    the metric is worse."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    (path, destination), rest = parsing.positional(
        arguments,
        ["RUN", "DEST"],
        program="kerascale export",
        usage=_USAGE,
        options=Options,
    )
    options = parsing.parse(Options, rest, program="kerascale export RUN DEST")
    if not options.max_drop >= 0 or math.isinf(options.max_drop):
        raise RefusedError(
            "--max-drop: expected a finite number >= 0. Received: "
            f"{options.max_drop}. To export whatever the metric is: --allow-breaking."
        )
    # Refused before TensorFlow is there.
    server_files.read(pathlib.Path(destination))
    from kerascale.compression.ladder import paths

    rung = None
    if paths.is_compressed(path):
        rung = paths.find(path, options.format)
        name_of_format = rung.format
    else:
        name_of_format = options.format or "saved_model"
    formats.refuse_other(destination, name_of_format)
    formats.refuse_missing_modules(name_of_format)

    quiet.import_tensorflow()
    from kerascale import serving
    from kerascale.runs.run import load_run

    gate = {"max_drop": options.max_drop, "allow_breaking": options.allow_breaking}
    if rung is not None:
        from kerascale.compression.ladder import served

        run_path = paths.run_of(path)
        version = served.export(load_run(run_path), path, rung, destination, **gate)
    elif name_of_format == "saved_model":
        version = serving.export_saved_model(load_run(path), destination, **gate)
    else:
        version = serving.export_converted(
            load_run(path), destination, format=name_of_format, **gate
        )
    finish(
        {"run_dir": path, "version": version.name, "path": str(version)},
        as_json=options.json,
        text=_next_steps(version, name_of_format),
    )


def _next_steps(version: pathlib.Path, name_of_format: str) -> str:
    base = version.parent
    if name_of_format != "saved_model":
        return f"Exported {version / formats.FILES[name_of_format]}"
    served_as = server_files.read(base)
    name, inside = served_as.name, served_as.base_path
    mount = shlex.quote(f"{base.resolve()}:{inside}")
    return (
        f"Exported {version}\n"
        f"Versions:    kerascale versions {shlex.quote(str(base))}\n"
        f"Look at it:  saved_model_cli show --all --dir {shlex.quote(str(version))}\n"
        f"Serve it:    docker run -p 8501:8501 -v {mount} tensorflow/serving "
        f"--model_config_file={inside}/{server_files.MODELS} "
        "--model_config_file_poll_wait_seconds=30 "
        "--allow_version_labels_for_unavailable_models\n"
        f"Ask it:      http://localhost:8501/v1/models/{name}/labels/stable:predict"
    )
