"""`kerascale card RUN`: a model card whose numbers check themselves."""

import dataclasses
from collections.abc import Sequence

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish
from kerascale.errors import RefusedError

_USAGE = "RUN [--license ID] [--check] [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Write a model card in the Hugging Face format, README.md in the run folder, with
    the results of evaluation, audit and attack; or check the numbers of one.

    What people write into it stays when it is written again. Needs kerascale[card]."""

    license: str | None = None
    """The model's licence, such as apache-2.0. Default: that of the card before."""
    data_license: str | None = None
    """The data's licence, in words."""
    check: bool = False
    """Write nothing; measure the numbers of the card again. Exit code 1 if one
    differs."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    (path,), rest = parsing.positional(
        arguments, ["RUN"], program="kerascale card", usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program="kerascale card RUN")
    given = [
        f"--{name.replace('_', '-')}"
        for name in ("license", "data_license")
        if getattr(options, name) is not None
    ]
    if options.check and given:
        raise RefusedError(
            f"{', '.join(given)}: expected without --check, which writes nothing. "
            "Received: both. Leave one of them out."
        )
    from kerascale.runtime import extras

    extras.refuse_without("card", "card", ["huggingface_hub"])
    quiet.import_tensorflow()
    from kerascale.trust.model_card import card_run

    if options.check:
        compared = card_run.check_card(path)
        text = "\n".join([*compared, f"{len(compared)} numbers are as the card says"])
        finish({"run_dir": path, "compared": compared}, as_json=options.json, text=text)
        return
    made = card_run.card(
        path, license=options.license, data_license=options.data_license
    )
    lines = [f"Wrote {made.path}, {len(made.results)} results"]
    if made.license is None:
        lines.append("No licence is stated: --license apache-2.0, for example")
    if made.unwritten:
        lines.append(f"Only you can write: {', '.join(made.unwritten)}")
    result = {
        "run_dir": path,
        "card": str(made.path),
        "results": [dataclasses.asdict(each) for each in made.results],
        "unwritten": list(made.unwritten),
        "license": made.license,
    }
    finish(result, as_json=options.json, text="\n".join(lines))
