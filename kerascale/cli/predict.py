"""`kerascale predict RUN --input FILE --output FILE`."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish, metrics_table
from kerascale.errors import RefusedError
from kerascale.runtime import atomic_files
from kerascale.runtime.console import counted

_USAGE = "RUN --input FILE|FOLDER|packed:FOLDER --output FILE.csv [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Predict classes (or continue prompts) with a finished run.

    Where the input has labels (the label column, folders called like classes, the
    array y), scores are printed, too."""

    input: str
    """CSV or .npz file, folder of images, packed:FOLDER, or for a language model a text
    file."""
    output: str
    """CSV file to write: class, probability, and one column per class."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    (path,), rest = parsing.positional(
        arguments, ["RUN"], program="kerascale predict", usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program="kerascale predict RUN")
    output = pathlib.Path(options.output)
    if not output.parent.is_dir() or output.is_dir():
        raise RefusedError(
            "--output: expected a file in a folder that exists. Received: "
            f"{options.output}."
        )
    if output.exists():
        raise RefusedError(
            f"--output: expected a new file. Received: {options.output}, which is "
            "there. Name another file, or remove it."
        )
    quiet.import_tensorflow()
    from kerascale.runs.run import load_run
    from kerascale.serving import batch_prediction

    finished = load_run(path)
    predictions = batch_prediction.predict(finished, options.input)
    metrics = _scores(predictions, finished)
    try:
        with atomic_files.replacing(output) as temporary:
            predictions.to_csv(temporary, index=False)
    except OSError as error:
        raise RefusedError(
            f"--output: {options.output} cannot be written ({error.strerror})."
        ) from error
    summary = {"run_dir": path, "output": str(output), "examples": len(predictions)}
    scored = ""
    if metrics is not None:
        summary["metrics"] = metrics
        scored = f"\nThe examples have labels:\n{metrics_table(metrics)}"
    finish(
        summary,
        as_json=options.json,
        text=f"Wrote {counted(len(predictions), 'prediction')} to {output}{scored}",
    )


def _scores(predictions, finished) -> dict[str, Any] | None:
    labels = predictions.attrs.get("labels")
    if labels is None:
        return None
    from kerascale.training import evaluation

    outputs, threshold = predictions.attrs["outputs"], finished.metrics.get("threshold")
    return evaluation.scores_of(finished.info, labels, outputs, threshold)
