"""`kerascale attack RUN`: what its answers withstand, and whether to believe that."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish
from kerascale.errors import EXIT_DONE, RefusedError
from kerascale.runs import files, layout
from kerascale.runtime.console import say

_USAGE = "RUN [--norm inf|2] [--epsilon E ...] [--steps 40] [--restarts 5] [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Change held-out examples within a limit, so that a run answers them wrongly.

    FGSM and PGD with restarts; and attacks that need no gradient, which tell whether
    the gradient is masked: examples made against another model, and random search.
    Epsilon is in pixels from 0 to 1, or in standard deviations of each feature of a
    vector. Writes attack.json and, with kerascale[report], attack.html into the run."""

    norm: Literal["inf", "2"] = "inf"
    """What is at most epsilon. inf: the change of each number; 2: the root of the sum
    of their squares."""
    epsilon: tuple[float, ...] = ()
    """How far an example may move; several of them give a curve. Default: 0.01, 0.03,
    0.1 and 0.3; with --norm 2: 0.25, 0.5, 1 and 2."""
    steps: int = 40
    """Steps of PGD, of 2.5 * epsilon / steps each."""
    restarts: int = 5
    """How often PGD begins anew, at a random point."""
    examples: int = 1000
    """Held-out examples that are attacked, at most."""
    queries: int = 300
    """Answers that random search asks for, of each example."""
    transfer_from: str | None = None
    """A run on the same data whose adversarial examples are tried. Default: a model of
    the same recipe with another seed is trained for it."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> int:
    (path,), rest = parsing.positional(
        arguments, ["RUN"], program="kerascale attack", usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program="kerascale attack RUN")
    # Refused before TensorFlow is there.
    files.read_json(path, layout.EVALUATION)
    quiet.import_tensorflow()
    from kerascale.runs.run import load_run
    from kerascale.trust.attacks.attack import attack

    finished = load_run(path)
    found = attack(
        finished,
        norm=options.norm,
        epsilons=options.epsilon,
        steps=options.steps,
        restarts=options.restarts,
        examples=options.examples,
        queries=options.queries,
        transfer_from=options.transfer_from,
    )
    page = _write(finished, found)
    text = found.text() + (f"\nWrote {page}" if page else "")
    finish({**found.to_json(), "page": page}, as_json=options.json, text=text)
    return EXIT_DONE


def _write(run: Any, found: Any) -> str | None:
    """Writes the numbers, and the page where its packages are installed."""
    from kerascale.reporting import output_paths, packages

    output_paths.write_json(run.path / layout.ATTACK, found.to_json())
    try:
        packages.refuse_without_packages("attack")
    except RefusedError as error:
        say(f"no page is written. {error}")
        return None
    from kerascale.trust.attacks.page import render

    path = run.path / layout.ATTACK_PAGE
    output_paths.write(path, render.render(found).encode())
    return str(path)
