"""`kerascale tune RECIPE --field NAME=VALUES ...`."""

import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Sequence
from typing import Any, Literal

from kerascale.cli import parsing, tune_find
from kerascale.cli.results import finish, metrics_table
from kerascale.config import provenance
from kerascale.config.fields import PositiveInt, check, fields, from_dict, read_file
from kerascale.config.recipes import Recipe, load_recipe
from kerascale.errors import EXIT_DONE, EXIT_FAILED, RefusedError
from kerascale.runs import layout
from kerascale.runtime import extras, interrupts
from kerascale.runtime.console import say

_USAGE = "RECIPE --field NAME=VALUES ... [--trials N] [--field-of-recipe value ...]"
_TRIALS = 40
_MOST_GRID = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Search for the best values of some fields of a recipe.

    Each trial is a run folder. A command that was killed goes on when it is typed
    again. Trials do not look at the test examples; --best does, once."""

    field: tuple[str, ...] = ()
    """What is searched: NAME=LOW..HIGH, NAME=LOW..HIGH/STEP, NAME=log:LOW..HIGH, or
    NAME=[VALUE,VALUE,...] with values as behind the field's own flag. Default: what the
    recipe proposes, SEARCH in its file, but for fields whose own flag is given."""
    trials: PositiveInt | None = None
    """How many configurations are tried in all. Default: 40, or the whole grid. More of
    them go on with the same study."""
    sampler: Literal["tpe", "random", "grid", "cmaes"] = "tpe"
    """Who chooses the configurations."""
    pruner: Literal["hyperband", "median", "none"] = "hyperband"
    """Who ends a trial early that is worse than others were at the same epoch."""
    jobs: PositiveInt = 1
    """How many trials this command runs at once, each in a process of its own."""
    concurrency: PositiveInt = 4
    """How many may run at once, over all commands of the study. The values of a trial
    (tpe, cmaes), and its pruning, depend on the results of all but the last (this
    number - 1) before it, so that they are the same however many run. No limit for
    random and grid with --pruner none."""
    study: str | None = None
    """The folder of the study. Default: studies/RECIPE-..., one for each search, which
    the same command finds again."""
    storage: str | None = None
    """URL of a database that Optuna takes. Default: SQLite in the folder."""
    strategy: Literal["auto", "one_device", "mirrored", "tpu"] = "auto"
    """Where each trial trains, as of kerascale train."""
    workers: PositiveInt = 1
    """How many processes of this host train each trial together, as kerascale launch
    --workers does."""
    find: Literal["learning-rate", "batch-size"] | None = None
    """Instead of a search: the learning rate at which the loss falls fastest, by a
    range test; or the largest batch that fits into memory, by measuring."""
    best: bool = False
    """At the end train the best configuration on training and validation examples, and
    test it once."""
    config: str | None = None
    """A run's config.json, or a JSON file of fields: their values become defaults."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""

    def __post_init__(self) -> None:
        problems = check(self)
        if problems:
            raise RefusedError(problems, heading="tune")


def run(arguments: Sequence[str]) -> int:
    (name,), rest = parsing.positional(
        arguments, ["RECIPE"], program="kerascale tune", usage=_USAGE
    )
    recipe = load_recipe(name)
    options, config, told, dimensions = _parse(recipe, rest)
    began = time.monotonic()
    if options.find is not None:
        return tune_find.run(recipe, config, options)
    needed = ["optuna", *(["cmaes"] if options.sampler == "cmaes" else [])]
    extras.refuse_without("tune", "tune", needed)
    from kerascale.tuning.study import StorageFailedError

    with interrupts.on_signals():
        try:
            return _run(recipe, options, config, told, dimensions, began)
        except StorageFailedError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise RuntimeError(
                f"the study's database failed ({reason:.200}). The same command goes "
                "on when it is mended."
            ) from error


def _run(
    recipe: Recipe,
    options: Options,
    config: Any,
    told: dict[str, str],
    dimensions: Sequence[Any],
    began: float,
) -> int:
    from kerascale.tuning import result, search, study_folder, winner
    from kerascale.tuning.pool import Pool
    from kerascale.tuning.study import Study
    from kerascale.tuning.wishes import Search

    wanted = Search(
        recipe=recipe,
        config=config,
        dimensions=tuple(dimensions),
        sampler=options.sampler,
        pruner=options.pruner,
        concurrency=options.concurrency,
        strategy=options.strategy,
        workers=options.workers,
        told=told,
    )
    path = pathlib.Path(options.study or study_folder.default_folder(wanted))
    problems = study_folder.check(path, wanted)
    trials, more = _trials(options, wanted)
    problems += [*more, *_with_workers(options, wanted)]
    with tempfile.TemporaryDirectory(prefix="kerascale-tune-") as temporary:
        with Pool(pathlib.Path(temporary) / "workers.log", options.workers) as pool:
            is_new = not (path / layout.STUDY).is_file()
            if problems or is_new:  # Known problems are no reason to hide others.
                problems += search.check(pool, wanted)
            if problems:
                raise RefusedError(problems, heading="tune")
            folder = study_folder.StudyFolder(path)
            study = Study(wanted, folder, options.storage)
            say(_opening(wanted, path, trials))
            search.Searching(study, pool, trials, options.jobs).run()
            found = result.of(study, time.monotonic() - began)
            final = None
            if options.best and found.best is not None:
                final = winner.train(study, found.best, pool)
    _finish(found, final, options)
    return EXIT_DONE if found.best is not None else EXIT_FAILED


def _with_workers(options: Options, search: Any) -> list[str]:
    """What several processes cannot do together."""
    if options.workers == 1:
        return []
    problems = []
    if options.strategy != "auto":
        problems.append(
            "--strategy: expected auto with --workers, whose processes are the "
            f"replicas. Received: {options.strategy}. Leave one out."
        )
    if search.folds is not None:
        problems.append(
            f"--workers: expected 1 with --folds. Received: {options.workers}. Run "
            "several trials at once (--jobs) instead."
        )
    return problems


def _opening(search: Any, path: pathlib.Path, trials: int) -> str:
    names = ", ".join(each.name for each in search.dimensions)
    rise = "small" if search.objective.mode == "min" else "large"
    price = ""
    if getattr(search.config, "dp_clip", None) is not None:
        price = (
            "dp: the epsilon of a trial is that of one training; to choose among "
            "several costs more, which is not counted\n"
        )
    return (
        f"{price}search: {search.recipe.name}, {names}; {trials} trials by "
        f"{search.sampler}, pruner {search.pruner}; {search.objective.name} should be "
        f"{rise}\n"
        f"study: {path}"
    )


def _finish(found: Any, final: dict[str, Any] | None, options: Options) -> None:
    from kerascale.tuning import result
    from kerascale.tuning.page import writing

    summary = result.to_json(found)
    text = result.text(found, is_tested=final is not None)

    def render() -> str:
        from kerascale.tuning.page.render import render

        return render(found, final)

    summary["page"] = writing.write(found.path / layout.STUDY_PAGE, render)
    if summary["page"]:
        text += f"\nWrote {summary['page']}"
    if final is not None:
        summary["final"] = final
        metrics = final["metrics"]
        text += (
            f"\n\nTrained on training and validation examples, evaluated once on the "
            f"{metrics.get('split')} examples\n{metrics_table(metrics)}\n"
            f"The run is in {final['run_dir']}"
        )
    finish(summary, as_json=options.json, text=text)


def _trials(options: Options, search: Any) -> tuple[int, list[str]]:
    """How many trials there will be, and what is wrong with the numbers."""
    from kerascale.tuning import planned

    problems = []
    if options.jobs > options.concurrency and not search.is_free:
        problems.append(
            f"--jobs: expected at most --concurrency, {options.concurrency}. Received: "
            f"{options.jobs}. Raise both; trials then know of fewer results."
        )
    if options.sampler != "grid":
        return options.trials or _TRIALS, problems
    try:
        size = planned.grid_size(search.dimensions)
    except RefusedError as error:
        return 0, [*problems, *error.problems]
    if size > _MOST_GRID:
        problems.append(
            f"--sampler grid: expected at most {_MOST_GRID:,} combinations. Received: "
            f"{size:,}. Take fewer values, or another sampler."
        )
    return min(options.trials or size, size), problems


def _parse(
    recipe: Recipe, arguments: Sequence[str]
) -> tuple[Options, Any, dict[str, str], Sequence[Any]]:
    """The flags of `tune`, the recipe's configuration, and what is searched."""
    from kerascale.tuning import space

    path = parsing.value_of(arguments, "--config")
    file = {"fields": {}} if path is None else read_file(path)
    command = dataclasses.make_dataclass(
        "Tune", [("tune", Options), ("recipe", recipe.Config)]
    )
    defaults = from_dict(recipe.Config, file["fields"])
    problems, dimensions = [], ()
    given = parsing.flags_given(arguments)
    try:
        texts = parsing.values_of(arguments, "--field") or [
            text for text in recipe.search if text.partition("=")[0] not in given
        ]
        is_search = parsing.value_of(arguments, "--find") is None
        if is_search and not parsing.wants_help(arguments):
            dimensions = space.parse(recipe.Config, texts)
    except RefusedError as error:
        problems += error.problems
    try:
        parsed = parsing.parse(
            command,
            arguments,
            program=f"kerascale tune {recipe.name}",
            description=recipe.doc.strip(),
            default=command(Options(config=path), defaults),
        )
    except RefusedError as error:
        problems += error.problems
    problems += [
        f"--{d.name.replace('_', '-')}: expected in --field alone. Received: in both."
        for d in dimensions
        if d.name in given
    ]
    if problems:
        raise RefusedError(
            problems,
            heading=f"wrong arguments (kerascale tune {recipe.name} --help documents "
            "them)",
        )
    told = {
        **dict.fromkeys(file["fields"], provenance.FILE),
        **dict.fromkeys(given, provenance.COMMAND_LINE),
    }
    known = fields(recipe.Config)
    told = {name: source for name, source in told.items() if name in known}
    return parsed.tune, _executed_alike(parsed.recipe), told, dimensions


def _executed_alike(config: Any) -> Any:
    """The configuration, whose trials are all executed in one way.

    What is fastest is measured, and other ways round differently: the same seed would
    not give the same scores.
    """
    if getattr(config, "execution", None) == "auto":
        return dataclasses.replace(config, execution="fixed")
    return config
