"""Writes a run's model card, and checks the numbers of one."""

import dataclasses
import os
import pathlib
import re
from typing import Any

from kerascale.errors import RefusedError
from kerascale.reporting import output_paths
from kerascale.runs import layout
from kerascale.runs.run import Run, load_run
from kerascale.runtime import extras
from kerascale.serving.provenance import sha256_of
from kerascale.trust.model_card import facts as facts_of
from kerascale.trust.model_card import results as results_of
from kerascale.trust.model_card import text as text_of
from kerascale.trust.model_card.facts import Facts
from kerascale.trust.model_card.results import Result

# What rounding on another device moves; one example of 1,000 is ten times as much.
_TOLERANCE = 1e-4
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclasses.dataclass(frozen=True)
class Card:
    """A card that was written.

    Args:
        path: Its file.
        results: Its numbers.
        unwritten: Headings of what only people can write, and have not yet.
        license: The model's licence; None: not stated.
    """

    path: pathlib.Path
    results: tuple[Result, ...]
    unwritten: tuple[str, ...]
    license: str | None


class CardError(RuntimeError):
    """A card with numbers that are not those of its model. The command exits with 1."""


def card(
    run: Run | str | os.PathLike,
    *,
    license: str | None = None,
    data_license: str | None = None,
) -> Card:
    """Writes the model card of a run: `README.md` in its folder.

    It is in the Hugging Face format. Numbers come from the final evaluation, and from
    audit, attack, private training, explanation and measured energy where these were
    run. What people have written into the card stays.

    Args:
        run: A finished run, or its folder.
        license: The model's, an identifier such as `apache-2.0`; None: that of the card
            that is there.
        data_license: The data's, in words.

    Returns:
        The card.

    Raises:
        RefusedError: If the run has not finished, or there is a README.md of somebody
            else's.
    """
    extras.refuse_without("card", "card", ["huggingface_hub"])
    if license is not None and not _LICENSE.fullmatch(license):
        raise RefusedError(
            "--license: expected an identifier in lower case, such as apache-2.0, mit "
            f"or other. Received: {license!r}."
        )
    if not isinstance(run, Run):
        run = load_run(run)
    facts = facts_of.read(pathlib.Path(run.path))
    path = facts.path / layout.CARD
    before = _before(path)
    results = results_of.of_facts(facts)
    about = {
        "model": type(run.model).__name__,
        "parameters": run.model.count_params(),
        "sha256": sha256_of(facts.path / layout.MODEL),
        "data_license": data_license or _data_license(before),
    }
    blocks = text_of.blocks(facts, results, about)
    name = facts.path.resolve().name
    recipe = facts_of.without_folders(facts.config["recipe"])
    title = f"{about['model']} on {facts.data_name}"
    if before is None:
        body = text_of.new(title, blocks)
    else:
        body = text_of.replaced(before.text, blocks)
    license = license or (before and before.data.get("license"))
    data = _metadata(facts, results, f"{recipe}-{name}", license)
    content = f"---\n{data.to_yaml()}\n---\n\n{body.strip()}\n"
    output_paths.write(path, content.encode())
    _read_back(path, results)
    unwritten = tuple(
        heading
        for heading in text_of.BY_HAND
        if re.search(rf"## {heading}\n(?:\s|<!--.*?-->)*\*Not written yet", content)
    )
    return Card(path, tuple(results), unwritten, license)


def _metadata(
    facts: Facts, results: list[Result], name: str, license: str | None
) -> Any:
    from huggingface_hub import EvalResult, ModelCardData

    kind = re.sub(r"[^a-z0-9]+", "-", facts.data_name.lower())
    return ModelCardData(
        language=None,
        license=license,
        library_name="keras",
        tags=["kerascale", facts.data.get("task", "classification")],
        pipeline_tag=None if facts.task == "other" else facts.task,
        model_name=name,
        eval_results=[
            EvalResult(
                task_type=facts.task,
                dataset_type=kind.strip("-") or "data",
                dataset_name=facts.data_name,
                dataset_config=result.config,
                dataset_split=facts.split,
                dataset_revision=facts.data["fingerprint"],
                metric_type=result.metric,
                metric_name=result.name,
                metric_value=float(result.value),
            )
            for result in results
        ],
    )


def _before(path: pathlib.Path) -> Any:
    """The card that is there; None: there is none.

    Raises:
        RefusedError: If the file is not a card of ours.
    """
    if not path.exists():
        return None
    found = _load(path)
    if not text_of.read_blocks(found.text):
        raise RefusedError(
            f"card: expected no file, or a card that kerascale has written. Received: "
            f"{path}, which is something else. Move it away."
        )
    return found


def _load(path: pathlib.Path) -> Any:
    from huggingface_hub import ModelCard

    try:
        return ModelCard.load(path)
    except Exception as error:  # Of YAML, of its values, of the file.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RefusedError(
            f"card: expected a model card that can be read. Received: {path} "
            f"({reason:.200}). Write it again with kerascale card."
        ) from error


def _data_license(before: Any) -> str | None:
    if before is None:
        return None
    found = re.search(r"^- Licence of the data: (.*)$", before.text, re.MULTILINE)
    return found[1] if found else None


def _read_back(path: pathlib.Path, results: list[Result]) -> None:
    """Holds what was written to be what is read.

    Raises:
        CardError: If a result is lost.
    """
    read = {(r.config, r.metric): r.value for r in read_results(_load(path))}
    lost = [r for r in results if read.get((r.config, r.metric)) != r.value]
    if lost:
        raise CardError(
            f"{path}: expected each result to be read back. Received: "
            f"{', '.join(f'{r.config} {r.metric}' for r in lost)} not."
        )


def read_results(loaded: Any) -> list[Result]:
    """The numbers of a card, as `huggingface_hub` reads them."""
    split = None
    found = []
    for each in loaded.data.eval_results or ():
        split = split or each.dataset_split
        config = each.dataset_config or ""
        source = results_of.EVALUATION if config == each.dataset_split else ""
        source = source or (
            results_of.ATTACK if " norm, epsilon " in config else results_of.AUDIT
        )
        value = each.metric_value
        name = each.metric_name or str(each.metric_type)
        found.append(Result(source, config, str(each.metric_type), value, name))
    return found


def check_card(run: Run | str | os.PathLike) -> list[str]:
    """Measures the numbers of a run's card again.

    Those of the evaluation and of the audit's groups are measured by the model as it is
    now; those of attacks are compared with `attack.json`.

    Args:
        run: A finished run with a card, or its folder.

    Returns:
        What was compared, a line each.

    Raises:
        CardError: With each number that differs, in the metadata or in the table.
        RefusedError: If there is no card, or the data cannot be had.
    """
    extras.refuse_without("card", "card", ["huggingface_hub"])
    if not isinstance(run, Run):
        run = load_run(run)
    path = pathlib.Path(run.path) / layout.CARD
    if not path.is_file():
        raise RefusedError(
            f"--check: expected a card. Received: none in {run.path}. Write it with "
            "kerascale card."
        )
    loaded = _load(path)
    said = read_results(loaded)
    facts = facts_of.read(pathlib.Path(run.path))
    again = _measured(run, facts, said)
    problems, compared = [], []
    blocks = text_of.read_blocks(loaded.text)
    if blocks.get("results") != text_of.table(said):
        problems.append("the table of results is not that of the metadata")
    model = sha256_of(facts.path / layout.MODEL)
    if model not in blocks.get("model", ""):
        problems.append(f"model.keras has the sha256 {model}, the card another one")
    for result in said:
        now = again.get((result.config, result.metric))
        what = f"{result.name} on {result.config}"
        if now is None:
            problems.append(f"{what}: {result.value} is said, and nothing measures it")
        elif not _is_close(result.value, now):
            problems.append(f"{what}: {result.value} is said, {now} was measured")
        else:
            compared.append(f"{what}: {now:.4f}")
    known = {(result.config, result.metric) for result in said}
    problems += [
        f"{metric} on {config}: {value} was measured, and is not said"
        for (config, metric), value in again.items()
        if (config, metric) not in known
    ]
    if problems:
        raise CardError(f"{path}: " + "; ".join(problems))
    return compared


def _is_close(said: Any, now: float) -> bool:
    if not isinstance(said, int | float):
        return False
    return abs(said - now) <= _TOLERANCE * max(1.0, abs(now))


def _measured(
    run: Run, facts: Facts, said: list[Result]
) -> dict[tuple[str, str], float]:
    from kerascale.reporting import mistakes
    from kerascale.training import evaluation
    from kerascale.trust.auditing.audit_run import audit

    _, source = mistakes.open_split(run, facts.split)
    threshold = run.metrics.get("threshold")
    numbers = evaluation.evaluate(run.model, source, run.info, threshold)
    found = results_of.of_evaluation(numbers, facts.split)
    if any(result.source == results_of.AUDIT for result in said) and facts.audit:
        is_split = facts.audit["data"] in ("test", "validation", "train")
        where = {"split" if is_split else "data": facts.audit["data"]}
        fresh = audit(run, group=facts.audit["group"], **where)
        found += results_of.of_audit(fresh.to_json())
    if facts.attack is not None:
        found += results_of.of_attack(facts.attack)
    return {(result.config, result.metric): result.value for result in found}
