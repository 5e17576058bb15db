"""`kerascale tune RECIPE --find learning-rate|batch-size`."""

import dataclasses
import pathlib
import tempfile
from typing import Any

from kerascale.cli.results import finish
from kerascale.config.fields import to_dict
from kerascale.config.recipes import Recipe
from kerascale.errors import EXIT_DONE, EXIT_FAILED, RefusedError
from kerascale.runtime import free_memory, interrupts
from kerascale.runtime.console import say


def run(recipe: Recipe, config: Any, options: Any) -> int:
    """Finds what was asked for, in processes of their own; no run is left.

    Args:
        recipe: The recipe.
        config: Its configuration.
        options: The flags of `tune`.
    """
    refuse_other_flags(options)
    find = _rate if options.find == "learning-rate" else _batch
    with (
        interrupts.on_signals(),
        tempfile.TemporaryDirectory(prefix="kerascale-find-") as folder,
    ):
        log = pathlib.Path(folder) / "worker.log"
        return find(recipe, config, options, log)


def refuse_other_flags(options: Any) -> None:
    """Refuses flags of a search, which a finder has no use for."""
    given = {
        "--field": bool(options.field),
        "--trials": options.trials is not None,
        "--best": options.best,
        "--storage": options.storage is not None,
        "--workers": options.workers > 1,
    }
    problems = [
        f"{flag}: expected without --find, which is no search. Received: both. Leave "
        "one out."
        for flag, is_given in given.items()
        if is_given
    ]
    if problems:
        raise RefusedError(problems, heading="tune")


def _job(recipe: Recipe, fields: dict[str, Any], options: Any) -> dict[str, Any]:
    return {
        "do": options.find,
        "recipe": recipe.source,
        "fields": fields,
        "strategy": options.strategy,
    }


def _rate(recipe: Recipe, config: Any, options: Any, log: pathlib.Path) -> int:
    from kerascale.tuning import asking, find_learning_rate
    from kerascale.tuning.page import writing
    from kerascale.tuning.pool import Pool

    with Pool(log) as pool:
        answer = asking.ask(pool, _job(recipe, to_dict(config), options))
    found = find_learning_rate.judge(answer["losses"])
    folder = pathlib.Path(options.study or "studies")
    folder.mkdir(parents=True, exist_ok=True)

    def render() -> str:
        from kerascale.tuning.page import rates

        return rates.render(found, recipe.name, config.batch_size)

    page = writing.write(folder / f"{recipe.name}-learning-rate.html", render)
    text = find_learning_rate.text(found)
    if page is not None:
        text += f"\nWrote {page}"
    summary = {**dataclasses.asdict(found), "page": page}
    finish(summary, as_json=options.json, text=text)
    return EXIT_DONE if found.has_fallen else EXIT_FAILED


def _batch(recipe: Recipe, config: Any, options: Any, log: pathlib.Path) -> int:
    from kerascale.tuning import asking, find_batch_size
    from kerascale.tuning.find_batch_size import Tried
    from kerascale.tuning.pool import Pool

    micro = config.gradient_accumulation_steps
    examples = 0

    def attempt(size: int) -> Tried:
        nonlocal examples
        fields = {**to_dict(config), "batch_size": size}
        # A process for each: what one has taken is not given back to the next.
        with Pool(log) as pool:
            try:
                answer = asking.ask(pool, _job(recipe, fields, options))
            except asking.JobFailedError as error:
                if not _is_lack_of_memory(str(error)):
                    raise
                return Tried(size, False, reason=str(error))
            except RuntimeError as error:  # It was killed.
                return Tried(size, False, reason=str(error))
        examples = answer["examples"]
        say(f"batch {size:,}: {answer['examples_per_second']:,.0f} examples/s")
        return Tried(size, True, answer["peak_bytes"], answer["examples_per_second"])

    first = attempt(config.batch_size)
    attempts = {first.batch_size: first}
    found = find_batch_size.find(
        lambda size: attempts.get(size) or attempt(size),
        first=config.batch_size,
        num_examples=max(examples, 1),
        available=free_memory.available_bytes(),
        multiple=micro,
    )
    text = find_batch_size.text(found)
    finish(dataclasses.asdict(found), as_json=options.json, text=text)
    return EXIT_DONE if found.largest is not None else EXIT_FAILED


def _is_lack_of_memory(reason: str) -> bool:
    words = ("ResourceExhausted", "OOM", "MemoryError", "out of memory", "allocat")
    return any(word in reason for word in words)
