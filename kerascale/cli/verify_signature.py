"""`kerascale verify-signature PATH --key K`: are these the files that were signed?"""

import dataclasses
from collections.abc import Sequence

from kerascale.cli import parsing
from kerascale.cli.results import finish
from kerascale.cli.sign import as_json

_USAGE = "RUN|EXPORT --key KEY [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Verify that a run folder, an exported version, or each version in a folder is
    what was signed. Exit code 1 if a signature is missing, of another key, or a file
    was changed, added or removed. Needs kerascale[sign]."""

    key: str
    """The public key in PEM."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    (path,), rest = parsing.positional(
        arguments,
        ["PATH"],
        program="kerascale verify-signature",
        usage=_USAGE,
        options=Options,
    )
    options = parsing.parse(Options, rest, program="kerascale verify-signature PATH")
    from kerascale.trust.signing import sign_folders

    found = sign_folders.verify_signature(path, key=options.key)
    finish(
        {"verified": [as_json(each) for each in found]},
        as_json=options.json,
        text="\n".join(
            f"{each.path}: {len(each.files)} files are as they were signed"
            for each in found
        ),
    )
