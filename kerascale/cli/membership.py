"""`kerascale membership RUN`: whether a run tells who was in its training data."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish
from kerascale.config.fields import NonNegativeInt, PositiveInt

_USAGE = "RUN [--examples N] [--seed N] [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Tell the training examples of a finished run from others by their loss.

    What this attack finds is there. What it does not find, a stronger one may: only a
    private training (kerascale train --dp-clip) bounds all of them."""

    examples: PositiveInt = 10_000
    """At most so many training examples, and so many others."""
    seed: NonNegativeInt = 0
    """Which of them."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    (path,), rest = parsing.positional(
        arguments,
        ["RUN"],
        program="kerascale membership",
        usage=_USAGE,
        options=Options,
    )
    options = parsing.parse(Options, rest, program="kerascale membership RUN")
    began = time.monotonic()

    quiet.import_tensorflow()
    from kerascale.runs.run import load_run
    from kerascale.trust.privacy.membership import membership_attack

    found = membership_attack(
        load_run(path), examples=options.examples, seed=options.seed
    )
    summary = {
        "run_dir": path,
        **found.to_json(),
        "seconds": round(time.monotonic() - began, 3),
    }
    finish(summary, as_json=options.json, text=_text(found))


def _text(found: Any) -> str:
    low, high = found.auc_interval
    lines = [
        f"{found.members:,} training examples (loss {found.train_loss:.4f}) against "
        f"{found.strangers:,} others (loss {found.test_loss:.4f})",
        f"  AUC                          {found.auc:.4f}  ({low:.4f} to {high:.4f}; "
        "guessing: 0.5)",
        f"  advantage                    {found.advantage:.4f}  (guessing: 0)",
        f"  found where 1 % are false    {found.true_positives_at_few:.4f}  (guessing: "
        "0.01)",
    ]
    if found.epsilon is None:
        lines.append("The training was not private: nothing bounds a stronger attack.")
    else:
        lines.append(
            f"Its epsilon of {found.epsilon:.4g} allows any attack an advantage of "
            f"{found.most_advantage:.4f} at most."
        )
    return "\n".join(lines)
