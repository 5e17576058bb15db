"""`kerascale train RECIPE [--field value ...]`."""

import contextlib
import dataclasses
import pathlib
import shlex
import time
from collections.abc import Sequence
from typing import Any, Literal

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish, metrics_table
from kerascale.config import CheckpointPolicy, provenance
from kerascale.config.fields import (
    PositiveFloat,
    PositiveInt,
    fields,
    from_dict,
    read_file,
)
from kerascale.config.recipes import Recipe, load_recipe
from kerascale.errors import RefusedError
from kerascale.runtime import heartbeat, interrupts, run_clock
from kerascale.runtime.console import duration
from kerascale.runtime.prometheus.exporter import refuse
from kerascale.strategies import tf_config

_USAGE = "RECIPE [--field value ...]    (kerascale recipes lists them)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Flags of `train` itself. What concerns the model belongs into a Config."""

    run_dir: str | None = None
    """The run folder, new or empty. Default: runs/RECIPE/N."""
    strategy: Literal[
        "auto",
        "one_device",
        "mirrored",
        "multi_worker_mirrored",
        "tpu",
        "model_parallel",
        "fsdp",
    ] = "auto"
    """Where to train. auto: what TF_CONFIG, Slurm, the GPUs or the TPU of this host
    say. model_parallel, fsdp: models larger than a device, cut over a mesh (extra
    jax)."""
    mesh: str | None = None
    """Devices of each axis, for model_parallel and fsdp: data=2,model=4. Default for
    fsdp: all devices along data."""
    remat: Literal["none", "block", "full"] = "none"
    """What a step computes again for its gradient to save memory, for model_parallel
    and fsdp. block: each block of a Transformer; full: each layer."""
    tpu: str | None = None
    """Name or address of the TPU for --strategy tpu. Default: TPU_NAME."""
    start_timeout: PositiveFloat | None = None
    """Seconds in which the others must have started. Default: 300 for the tasks of a
    Slurm step, 5 for the hosts of TF_CONFIG to have an address."""
    config: str | None = None
    """A run's config.json, or a JSON file of fields: their values become defaults."""
    init_from: str | None = None
    """Start from the weights of this run folder, .keras or .weights.h5 file."""
    init_partial: bool = False
    """Start from those weights of --init-from that match, and list the others."""
    fast_dev_run: bool = False
    """One update, and one batch of validation and evaluation, to see that all of it
    works. No run folder is left."""
    overfit_batches: PositiveInt | None = None
    """Train on that many batches alone, without augmentation, and say whether the
    loss came down: whether the model can learn at all. No run folder is left."""
    metrics_port: int | None = None
    """Let Prometheus read how the training goes at this port; 0: any that is free.
    Of several workers the chief is read."""
    metrics_host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all, without encryption or a password."""
    histograms: bool = False
    """Let TensorBoard show the distribution of each variable after each epoch."""
    energy: str | None = None
    """Measure the energy of the training on this machine, and compute its CO2 with the
    grid of a country, three letters such as DEU, or unknown. Needs kerascale[card]."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""

    def __post_init__(self) -> None:
        if tf_config.is_chief():
            refuse((self.metrics_host, self.metrics_port))


def run(arguments: Sequence[str]) -> None:
    (name,), rest = parsing.positional(
        arguments, ["RECIPE"], program="kerascale train", usage=_USAGE
    )
    recipe = load_recipe(name)
    options, policy, config, file = _parse(recipe, rest)
    value_sources = {
        **dict.fromkeys(file["fields"], provenance.FILE),
        **dict.fromkeys(parsing.flags_given(rest), provenance.COMMAND_LINE),
    }
    heartbeat.start()
    if not _wants_folds(config):
        run_clock.begin_process()
    with interrupts.on_signals():
        if _wants_folds(config):
            if not (options.fast_dev_run or options.overfit_batches):
                _refuse_energy_of_folds(options)
                _run_folds(recipe, options, policy, config, value_sources)
                return
            config = dataclasses.replace(config, fold=0)
        _run(recipe, options, policy, config, file, value_sources)


def _run(
    recipe: Recipe,
    options: Options,
    policy: CheckpointPolicy,
    config: Any,
    file: dict[str, Any],
    value_sources: dict[str, str],
) -> None:
    began = time.monotonic()
    if options.energy is not None:
        from kerascale.trust import energy

        energy.refuse_unknown(options.energy)
    quiet.import_tensorflow()
    from kerascale import strategies
    from kerascale.engine.collectives import replicas
    from kerascale.runs import files, layout
    from kerascale.training import train

    strategy = strategies.get(
        options.strategy,
        tpu=options.tpu,
        start_timeout=options.start_timeout,
        mesh=options.mesh,
        remat=options.remat,
    )
    result = None
    with contextlib.ExitStack() as stack:
        if options.energy is not None and replicas.is_chief(strategy):
            stack.enter_context(
                energy.measured(
                    options.energy,
                    lambda: options.run_dir if result is None else result.path,
                )
            )
        result = train.train(
            recipe,
            config,
            strategy=strategy,
            run_dir=options.run_dir,
            init_from=options.init_from,
            init_partial=options.init_partial,
            checkpoints=policy,
            fast_dev_run=options.fast_dev_run,
            overfit_batches=options.overfit_batches,
            told=value_sources,
            metrics_port=options.metrics_port,
            metrics_host=options.metrics_host,
            histograms=options.histograms,
        )
    seconds = time.monotonic() - began
    if not replicas.is_chief(strategy):
        return  # The chief says it for all.
    is_kept = not (options.fast_dev_run or options.overfit_batches)
    summary = {
        "recipe": recipe.name,
        "run_dir": str(result.path) if is_kept else None,
        "metrics": result.metrics,
        "seconds": round(seconds, 3),
        **strategies.describe(strategy),
    }
    text = (
        f"\n{recipe.name}: evaluated on the {result.metrics.get('split')} examples\n"
        f"{metrics_table(result.metrics)}\n\n"
        f"Done in {duration(seconds)}. "
    )
    if is_kept:
        text += (
            f"The run is in {result.path}\n"
            f"Export it:  kerascale export {shlex.quote(str(result.path))} "
            f"served/{recipe.name}"
        )
    else:
        text += "No run folder was left."
    throughput = result.path / layout.THROUGHPUT
    if throughput.is_file():
        summary["throughput"] = files.read_json(result.path, throughput.name)
    if options.fast_dev_run:
        summary["fast_dev_run"] = True
    if options.overfit_batches:
        from kerascale.training import dry_run

        summary["overfit_batches"] = options.overfit_batches
        verdict = dry_run.judge(options.overfit_batches, result.metrics)
        summary["learned"] = verdict.learned
    text += _note_on_data(file, getattr(config, "dataset", ""), result.info.fingerprint)
    finish(summary, as_json=options.json, text=text)


def _refuse_energy_of_folds(options: Options) -> None:
    if options.energy is not None:
        raise RefusedError(
            "--energy: expected without --folds. Received: both. Train one fold "
            "(--fold 0) to measure it."
        )


def _wants_folds(config: Any) -> bool:
    folds, fold = getattr(config, "folds", None), getattr(config, "fold", None)
    return folds is not None and fold is None


def _run_folds(
    recipe: Recipe,
    options: Options,
    policy: CheckpointPolicy,
    config: Any,
    value_sources: dict[str, str],
) -> None:
    began = time.monotonic()
    quiet.import_tensorflow()
    from kerascale import strategies
    from kerascale.training import train
    from kerascale.tuning import cross_validation

    cross_validation.refuse_several_workers()
    strategy = strategies.get(
        options.strategy, tpu=options.tpu, mesh=options.mesh, remat=options.remat
    )
    folder = cross_validation.folder_of(options.run_dir, recipe.name)

    def train_fold(own: Any, run_dir: pathlib.Path) -> Any:
        return train.train(
            recipe,
            own,
            strategy=strategy,
            run_dir=run_dir,
            init_from=options.init_from,
            init_partial=options.init_partial,
            checkpoints=policy,
            told={**value_sources, "fold": provenance.COMMAND_LINE},
            metrics_port=options.metrics_port,
            metrics_host=options.metrics_host,
            histograms=options.histograms,
        )

    try:
        result = cross_validation.run(recipe, config, folder, train_fold)
    except RefusedError:
        with contextlib.suppress(OSError):
            folder.rmdir()  # Where nothing was trained.
        raise
    seconds = time.monotonic() - began
    text = (
        f"\n{recipe.name}: {config.folds} folds, each tested once: mean +- deviation\n"
        f"{cross_validation.table(result)}\n\n"
        f"Done in {duration(seconds)}. The runs are in {folder}"
    )
    summary = {**result, "run_dir": str(folder), "seconds": round(seconds, 3)}
    finish(summary, as_json=options.json, text=text)


def _parse(
    recipe: Recipe, arguments: Sequence[str]
) -> tuple[Options, CheckpointPolicy, Any, dict[str, Any]]:
    """The flags of `train`, the recipe's configuration, and the file of --config."""
    program = f"kerascale train {recipe.name}"
    path = parsing.value_of(arguments, "--config")
    file = {"fields": {}} if path is None else read_file(path)
    _refuse_other_recipe(recipe, file.get("recipe"), path)
    if "data" in file and "task" in fields(recipe.Config):
        # A run of before there were other tasks.
        file["fields"].setdefault("task", "classification")
    defaults = from_dict(recipe.Config, file["fields"])
    # A run that was fine-tuned is repeated from the same weights.
    options = Options(
        config=path,
        init_from=file.get("init_from"),
        init_partial=file.get("init_partial", False),
    )
    command = dataclasses.make_dataclass(
        "Train",
        [
            ("run", Options),
            ("checkpoints", CheckpointPolicy),
            ("recipe", recipe.Config),
        ],
    )
    parsed = parsing.parse(
        command,
        arguments,
        program=program,
        description=recipe.doc.strip(),
        default=command(options, CheckpointPolicy(), defaults),
    )
    return parsed.run, parsed.checkpoints, parsed.recipe, file


def _refuse_other_recipe(recipe: Recipe, source: str | None, path: str | None) -> None:
    if source is None:  # A file of fields alone.
        return
    name = pathlib.PurePath(source).stem if source.endswith(".py") else source
    if name.rpartition(".")[2] != recipe.name:
        raise RefusedError(
            f"--config: expected the configuration of a run of {recipe.name}. "
            f"Received: {path}, which is of {source}. Train that recipe, or pass a "
            "file with the fields alone."
        )


def _note_on_data(file: dict[str, Any], dataset: str, sha256: str | None) -> str:
    """Says so if a run was repeated on data that has changed under its name."""
    before = (file.get("data") or {}).get("fingerprint")
    if before in (None, sha256) or file["fields"].get("dataset") != dataset:
        return ""
    return (
        f"\nNote: {dataset} has changed since that run (sha256 {before[:12]} then, "
        f"{str(sha256)[:12]} now): this is no repetition of it."
    )
