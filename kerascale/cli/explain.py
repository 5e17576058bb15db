"""`kerascale explain RUN`: why it answers so, and what each explanation is worth."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Literal

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish
from kerascale.config.fields import NonNegativeInt, PositiveInt, check
from kerascale.errors import RefusedError

_USAGE = "RUN [--examples N] [--methods NAME ...] [--split SPLIT] [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Explain answers of a run in each way that applies, and measure each of them:
    what happens to the answer while the parts that it names come and go, against a
    random order, and whether it notices a model that has forgotten everything.

    Writes explain.html and explain.json into the run folder. Needs
    kerascale[explain]."""

    examples: PositiveInt = 20
    """How many examples are explained."""
    which: Literal["spread", "mistakes"] = "spread"
    """spread: examples from the whole split; mistakes: the worst ones."""
    split: Literal["test", "validation", "train"] | None = None
    """Of which split. Default: the one that the run was evaluated on."""
    methods: tuple[
        Literal[
            "auto",
            "integrated-gradients",
            "shap",
            "lime",
            "occlusion",
            "attention-rollout",
        ],
        ...,
    ] = ("auto",)
    """Ways to explain. auto: all that apply. lime is for texts and tables, occlusion
    for pictures, attention-rollout for Transformers."""
    target: str | None = None
    """The class, label or target that is explained. Default: what the model answers."""
    steps: PositiveInt | None = None
    """Points of integrated gradients. Default: as many as make its error small."""
    seed: NonNegativeInt = 0
    """Of all that is drawn."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""

    def __post_init__(self) -> None:
        problems = check(self)
        if problems:
            raise RefusedError(problems, heading="explain")


def run(arguments: Sequence[str]) -> None:
    (path,), rest = parsing.positional(
        arguments, ["RUN"], program="kerascale explain", usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program="kerascale explain RUN")
    from kerascale.reporting import output_paths, packages
    from kerascale.runs import files, layout

    packages.refuse_without_packages("explain")
    folder = pathlib.Path(path)
    files.read_json(folder, layout.EVALUATION)
    output_paths.refuse_page_over_other("explain", folder, layout.EXPLANATION_PAGE)
    quiet.import_tensorflow()
    from kerascale.trust.explanation.explaining import explain

    methods = () if "auto" in options.methods else tuple(dict.fromkeys(options.methods))
    found = explain(
        path,
        examples=options.examples,
        split=options.split,
        which=options.which,
        methods=methods,
        target=options.target,
        steps=options.steps,
        seed=options.seed,
    )
    page = found.write()
    finish(
        {**found.to_json(), "page": str(page)},
        as_json=options.json,
        text=f"{found.text()}\nWrote {page}",
    )
