"""`kerascale predict RUN --input FILE --output FILE`."""

import dataclasses
import pathlib
from collections.abc import Sequence

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish
from kerascale.errors import RefusedError
from kerascale.runtime import atomic_files
from kerascale.runtime.console import counted

_USAGE = "RUN --input FILE|FOLDER --output FILE.csv [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Predict classes (or continue prompts) with a finished run."""

    input: str
    """CSV or .npz file, folder of images, or for a language model a text file."""
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

    predictions = batch_prediction.predict(load_run(path), options.input)
    try:
        with atomic_files.replacing(output) as temporary:
            predictions.to_csv(temporary, index=False)
    except OSError as error:
        raise RefusedError(
            f"--output: {options.output} cannot be written ({error.strerror})."
        ) from error
    finish(
        {"run_dir": path, "output": str(output), "examples": len(predictions)},
        as_json=options.json,
        text=f"Wrote {counted(len(predictions), 'prediction')} to {output}",
    )
