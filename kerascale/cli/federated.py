"""`kerascale federated RECIPE --clients 10 --rounds 20 ...`."""

import dataclasses
import shlex
import time
from collections.abc import Sequence
from typing import Any

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish, metrics_table
from kerascale.config.fields import from_dict, read_file
from kerascale.config.recipes import Recipe, load_recipe
from kerascale.runtime.console import duration
from kerascale.trust.federated.federation import Federation

_USAGE = "RECIPE [--clients N] [--partition P] [--rounds N] [--field value ...]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Federation):
    """Train a recipe with clients that keep their examples, in processes of their own.

    A command that was killed goes on when it is typed again with its --run-dir."""

    run_dir: str | None = None
    """The run folder, new or empty. Default: runs/RECIPE/N."""
    config: str | None = None
    """A run's config.json, or a JSON file of fields: their values become defaults."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    (name,), rest = parsing.positional(
        arguments, ["RECIPE"], program="kerascale federated", usage=_USAGE
    )
    recipe = load_recipe(name)
    options, config = _parse(recipe, rest)
    began = time.monotonic()

    quiet.import_tensorflow()
    from kerascale.trust.federated.server import federated

    names = [field.name for field in dataclasses.fields(Federation)]
    result = federated(
        recipe,
        config,
        run_dir=options.run_dir,
        **{field: getattr(options, field) for field in names},
    )
    seconds = time.monotonic() - began
    summary = {
        "recipe": recipe.name,
        "run_dir": str(result.path),
        "metrics": result.metrics,
        "seconds": round(seconds, 3),
    }
    text = (
        f"\n{recipe.name}: evaluated on the {result.metrics.get('split')} examples\n"
        f"{metrics_table(result.metrics)}\n\n"
        f"Done in {duration(seconds)}. The run is in {result.path}\n"
        f"Export it:  kerascale export {shlex.quote(str(result.path))} "
        f"served/{recipe.name}"
    )
    finish(summary, as_json=options.json, text=text)


def _parse(recipe: Recipe, arguments: Sequence[str]) -> tuple[Options, Any]:
    path = parsing.value_of(arguments, "--config")
    file = {"fields": {}} if path is None else read_file(path)
    command = dataclasses.make_dataclass(
        "Federated", [("federation", Options), ("recipe", recipe.Config)]
    )
    defaults = from_dict(recipe.Config, file["fields"])
    parsed = parsing.parse(
        command,
        arguments,
        program=f"kerascale federated {recipe.name}",
        description=recipe.doc.strip(),
        default=command(Options(config=path), defaults),
    )
    return parsed.federation, parsed.recipe
