"""The text of a card: parts that are written anew, and parts that people write."""

import re
from collections.abc import Sequence
from typing import Any

from kerascale.trust.model_card.facts import Facts, without_folders
from kerascale.trust.model_card.results import AUDIT, EVALUATION, Result

_BEGIN, _END = "<!-- kerascale:{} -->", "<!-- /kerascale:{} -->"
_BLOCK = re.compile(
    r"<!-- kerascale:(?P<name>[a-z-]+) -->\n(?P<text>.*?)<!-- /kerascale:(?P=name) -->",
    re.DOTALL,
)
UNWRITTEN = "*Not written yet.*"
# Sections that only a person can write, and what belongs there.
BY_HAND = {
    "Intended use": "Who should use it, for which decision; what for it was not made.",
    "Where the data comes from": "Who collected it, when, of whom, with consent.",
    "Known problems": "What its makers have seen go wrong.",
}


def blocks(
    facts: Facts, results: Sequence[Result], about: dict[str, Any]
) -> dict[str, str]:
    """The parts that are written anew, by name."""
    return {
        "model": _model(facts, about),
        "results": table(results),
        "training": _training(facts),
        "energy": _energy(facts.energy),
        "limits": _limits(facts),
    }


def new(title: str, found: dict[str, str]) -> str:
    """A new card, without its metadata."""
    lines = [f"# {title}", "", _block("model", found["model"])]
    for heading, hint in BY_HAND.items():
        lines += ["", f"## {heading}", "", f"<!-- {hint} -->", UNWRITTEN]
    for heading, name in (
        ("Results", "results"),
        ("Training", "training"),
        ("Energy", "energy"),
        ("Limits", "limits"),
    ):
        lines += ["", f"## {heading}", "", _block(name, found[name])]
    return "\n".join([*lines, ""])


def replaced(text: str, found: dict[str, str]) -> str:
    """A card whose parts are written anew; what people wrote stays."""

    def swap(match: re.Match[str]) -> str:
        name = match["name"]
        return _block(name, found[name]) if name in found else match[0]

    return _BLOCK.sub(swap, text)


def read_blocks(text: str) -> dict[str, str]:
    """The parts of a card that were written by the command."""
    return {match["name"]: match["text"].strip() for match in _BLOCK.finditer(text)}


def _block(name: str, text: str) -> str:
    return f"{_BEGIN.format(name)}\n{text.strip()}\n{_END.format(name)}"


def table(results: Sequence[Result]) -> str:
    """The numbers as a table; `card --check` makes it again, and compares."""
    lines = ["| measured on | metric | value |", "|---|---|---|"]
    for result in results:
        cell = result.config.replace("|", "\\|")
        lines.append(f"| {cell} | {result.name} | {result.value:.4f} |")
    return "\n".join(lines)


def _model(facts: Facts, about: dict[str, Any]) -> str:
    data = facts.data
    sizes = ", ".join(f"{n:,} {split}" for split, n in data["num_examples"].items())
    classes = data.get("class_names") or data.get("target_names") or []
    names = ", ".join(map(str, classes[:20])) + (", ..." if len(classes) > 20 else "")
    kind = "Targets" if data.get("task") == "regression" else "Classes"
    lines = [
        f"`{about['model']}` with {about['parameters']:,} parameters, trained by "
        f"kerascale with the recipe `{without_folders(facts.config['recipe'])}`.",
        "",
        f"- Task: {data.get('task', 'classification')}",
        f"- Data: `{facts.data_name}` ({sizes} examples), sha256 "
        f"`{data['fingerprint']}`",
    ]
    if names:
        lines.append(f"- {kind}: {names}")
    if about.get("data_license"):
        lines.append(f"- Licence of the data: {about['data_license']}")
    lines.append(f"- Model file: `model.keras`, sha256 `{about['sha256']}`")
    return "\n".join(lines)


def _training(facts: Facts) -> str:
    config, versions = facts.config, facts.config.get("versions") or {}
    fields = ", ".join(
        f"{name} {value}"
        for name, value in config["fields"].items()
        if name in ("epochs", "batch_size", "learning_rate", "optimizer", "seed")
    )
    used = ", ".join(f"{name} {value}" for name, value in versions.items())
    lines = [f"- Settings: {fields}; all of them are in `config.json`"]
    if config.get("init_from"):
        lines.append(
            f"- Began with the weights of `{without_folders(config['init_from'])}`, "
            f"sha256 `{config.get('init_sha256')}`"
        )
    hardware = ", ".join(
        f"{config[name]} {name}" for name in ("replicas", "workers") if name in config
    )
    lines.append(f"- Hardware: {config.get('strategy', 'one device')}, {hardware}")
    if used:
        lines.append(f"- Versions: {used}")
    if config.get("git_revision"):
        lines.append(f"- Source: git `{config['git_revision']}`")
    return "\n".join(lines)


def _energy(energy: dict[str, Any] | None) -> str:
    if energy is None:
        return (
            "Not measured. `kerascale train` measures it with the flag "
            "`--energy COUNTRY`."
        )
    lines = [
        f"- {energy['kwh'] * 1000:.3g} Wh in {energy['seconds']:.0f} seconds of "
        f"training ({energy['how']})"
    ]
    if energy.get("kg_co2") is not None:
        lines.append(
            f"- {energy['kg_co2'] * 1000:.3g} g of CO2 equivalents, by the yearly mean "
            f"of the grid of {energy['country']}"
        )
    lines += [f"- Not known: {what}" for what in energy["not_known"]]
    return "\n".join(lines)


def _limits(facts: Facts) -> str:
    lines = [
        f"- Measured on {facts.evaluation.get('examples', 'some')} {facts.split} "
        "examples of the same source as the training examples; nothing is known of "
        "others."
    ]
    lines += _audit_limits(facts.audit)
    if facts.attack is None:
        lines.append(
            "- No attack was run on it: how it stands small changes is not known."
        )
    else:
        judgement = facts.attack.get("judgement") or {}
        if judgement.get("masked"):
            lines.append(
                "- Its gradient is masked: accuracy under attack may be too high."
            )
    lines.append(_privacy(facts))
    if facts.explanation is not None:
        methods = facts.explanation.get("methods", {})
        good = [name for name, each in methods.items() if each.get("beats_chance")]
        lines.append(
            "- Explanations that beat a random order on it: "
            f"{', '.join(good) or 'none'}."
        )
    return "\n".join(lines)


def _audit_limits(audit: dict[str, Any] | None) -> list[str]:
    if audit is None:
        return ["- No audit was run: whom it fails is not known."]
    lines = []
    if audit.get("group") and audit.get("worst") is not None:
        lines.append(
            f"- Of the groups by {audit['group']} it fails {audit['worst']} most."
        )
    if audit.get("too_small"):
        names = ", ".join(audit["too_small"])
        lines.append(f"- Too few examples to say anything of: {names}.")
    for name, found in (audit.get("differences") or {}).items():
        if found.get("p", 1) < 0.05:
            what = name.replace("_", " ")
            lines.append(
                f"- Groups differ: {what} {found['value']:.3f}, by chance with "
                f"p = {found['p']:.3f}."
            )
    ece = (audit.get("overall") or {}).get("calibration")
    if ece and ece["ece"] > ece["ece_by_chance"]:
        lines.append(
            f"- Its probabilities are off: calibration error {ece['ece']:.3f}, where "
            f"chance gives {ece['ece_by_chance']:.3f} at most."
        )
    return lines


def _privacy(facts: Facts) -> str:
    found = facts.privacy
    if found is None:
        return (
            "- Trained without differential privacy: it may tell who was in the data."
        )
    epsilon = found.get("epsilon")
    if epsilon is None and facts.history.get("epsilon"):
        epsilon = facts.history["epsilon"][-1]
    said = (
        f"epsilon {epsilon:.3g}"
        if isinstance(epsilon, int | float)
        else "epsilon unknown"
    )
    return f"- Trained with differential privacy: {said}, delta {found.get('delta')}."


def is_measured_again(result: Result) -> bool:
    """Whether `--check` measures a number itself."""
    return result.source in (EVALUATION, AUDIT)
