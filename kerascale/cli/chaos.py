"""`kerascale chaos RECIPE`: a run that is killed ends as if nothing had happened."""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from kerascale.cli import parsing
from kerascale.cli.results import finish
from kerascale.config.fields import NonNegativeInt, PositiveFloat, PositiveInt, check
from kerascale.config.recipes import Recipe, load_recipe
from kerascale.errors import EXIT_DONE, EXIT_FAILED, RefusedError
from kerascale.strategies import mesh_process

_USAGE = "RECIPE [--kills 5] [--workers N] [--seed S] [--field value ...]"
_DESCRIPTION = """\
Kill a run of the recipe {0} at random, and compare it with one that was left alone.

The recipe is trained once undisturbed, and once more while its processes are struck by
SIGKILL (in a step, in a save, in validation), SIGTERM and SIGSTOP at random moments;
after each blow the same command is started again. Weights, optimizer, history and
metrics of both are compared by sha256. Exit code 0: identical; 1: not.

Fields that give the recipe more state to lose differ from its defaults: see below.

Example: kerascale chaos {0} --kills 5
"""
# More state: moments, a schedule, batch statistics, dropout, augmentation.
_DEMANDING: dict[str, Any] = {
    "epochs": 3,
    "optimizer": "adamw",
    "schedule": "cosine",
    "residual": True,
    "dropout": 0.3,
    "augment_shift": 0.1,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Flags of `chaos` itself."""

    kills: PositiveInt = 5
    """How often the run is struck."""
    workers: PositiveInt = 1
    """Worker processes that train together."""
    strategy: Literal["model_parallel", "fsdp"] | None = None
    """Train on a mesh of devices, which workers share. Default: as workers say."""
    mesh: str | None = None
    """Devices of each axis, for --strategy: data=2,model=2."""
    remat: Literal["none", "block", "full"] = "none"
    """What a step computes again for its gradient, for --strategy; as of train."""
    chaos_seed: NonNegativeInt | None = None
    """Decides what is done, and when. Default: the recipe's own --seed."""
    save_every: PositiveInt = 10
    """Batches between two checkpoints."""
    stuck_seconds: PositiveFloat = 5.0
    """Seconds without a step after which a worker is taken for stuck."""
    folder: str | None = None
    """A new folder for both runs and their logs; default: one that is removed."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""

    def __post_init__(self) -> None:
        problems = check(self)
        problems += mesh_process.problems_of(self, in_processes=True)
        if problems:
            raise RefusedError(problems, heading="chaos")


def run(arguments: Sequence[str]) -> int:
    (name,), rest = parsing.positional(
        arguments, ["RECIPE"], program="kerascale chaos", usage=_USAGE
    )
    recipe = load_recipe(name)
    options, config = _parse(recipe, rest)
    from kerascale.diagnostics.chaos import chaos

    with _folder(options.folder) as folder:
        report = chaos(
            recipe,
            config,
            folder,
            kills=options.kills,
            workers=options.workers,
            seed=_seed(options, config),
            save_every=options.save_every,
            stuck_seconds=options.stuck_seconds,
            strategy=options.strategy,
            mesh=options.mesh,
            remat=options.remat,
        )
    if options.json:
        summary = {"recipe": recipe.name, **report.to_dict()}
        finish(summary, as_json=True, text=report.text())
    else:
        print(report.text(), flush=True)
    return EXIT_DONE if report else EXIT_FAILED


def _seed(options: Options, config: Any) -> int:
    if options.chaos_seed is not None:
        return options.chaos_seed
    return getattr(config, "seed", 0)


@contextlib.contextmanager
def _folder(path: str | None) -> Iterator[pathlib.Path]:
    if path is None:
        with tempfile.TemporaryDirectory(prefix="kerascale-chaos-") as folder:
            yield pathlib.Path(folder)
        return
    folder = pathlib.Path(path).absolute()
    if folder.exists() and any(folder.iterdir()):
        raise RefusedError(
            f"--folder: expected a new or empty folder. Received: {folder}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    yield folder


def _parse(recipe: Recipe, arguments: Sequence[str]) -> tuple[Options, Any]:
    """The flags of `chaos`, and the recipe's configuration."""
    command = dataclasses.make_dataclass(
        "Chaos", [("run", Options), ("recipe", recipe.Config)]
    )
    known = {field.name for field in dataclasses.fields(recipe.Config)}
    demanding = {n: v for n, v in _DEMANDING.items() if n in known}
    parsed = parsing.parse(
        command,
        arguments,
        program=f"kerascale chaos {recipe.name}",
        description=_DESCRIPTION.format(recipe.name),
        default=command(Options(), recipe.Config(**demanding)),
    )
    return parsed.run, parsed.recipe
