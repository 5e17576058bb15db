"""`kerascale sign PATH --key K`: signs the files of a run or of an export."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from kerascale.cli import parsing
from kerascale.cli.results import finish

_USAGE = "RUN|EXPORT --key KEY [--make-key] [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Sign a run folder, an exported version, or all versions in a folder.

    Of a run folder: its model, what it was made of and how good it was. Logs, pages,
    checkpoints and audits change later, and are not signed. Of an export: each file.
    Needs kerascale[sign]."""

    key: str
    """The private key in PEM, of an elliptic curve (P-256, P-384, P-521). The password
    of one that is encrypted stands in KERASCALE_KEY_PASSWORD."""
    make_key: bool = False
    """Make the key first, with the public one beside it in KEY.pub."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    (path,), rest = parsing.positional(
        arguments, ["PATH"], program="kerascale sign", usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program="kerascale sign PATH")
    from kerascale.runtime import extras
    from kerascale.trust.signing import keys, sign_folders, signable

    made = None
    if options.make_key:
        extras.refuse_without("sign", "sign", ["cryptography"])
        signable.find(pathlib.Path(path))
        made = keys.make(pathlib.Path(options.key))
    found = sign_folders.sign(path, key=options.key)
    lines = [] if made is None else [f"Made {options.key} (keep it) and {made}"]
    lines += [
        f"Signed {len(each.files)} files of {each.path}: {each.signature}"
        + (f"\n  not signed: {', '.join(each.unsigned)}" if each.kind == "run" else "")
        for each in found
    ]
    finish(
        {"signed": [as_json(each) for each in found], "public_key": made and str(made)},
        as_json=options.json,
        text="\n".join(lines),
    )


def as_json(each: Any) -> dict[str, Any]:
    """A signed folder as plain values."""
    return {
        "path": str(each.path),
        "kind": each.kind,
        "signature": str(each.signature),
        "files": list(each.files),
        "unsigned": list(each.unsigned),
    }
