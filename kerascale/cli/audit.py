"""`kerascale audit RUN --group COLUMN`: whom a run's model fails."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Literal

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish
from kerascale.config.fields import NonNegativeInt, check
from kerascale.errors import RefusedError

_USAGE = "RUN [--group COLUMN] [--against FILE] [--data DATASET] [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Metrics by group with intervals, demographic parity, equalised odds and
    calibration, the worst group first; and whether new data is like the training.

    Writes audit.html and audit.json into the run folder. Needs kerascale[audit]."""

    group: str | None = None
    """Column of the data that says which group an example is in. The model need not
    be trained on it (--drop-columns). Numbers are cut into quarters."""
    split: Literal["test", "validation", "train"] | None = None
    """Of which split. Default: the one that the run was evaluated on."""
    data: str | None = None
    """Other labelled data, such as csv:new.csv, in place of a split."""
    against: str | None = None
    """New data, with or without labels, that is compared with the training examples."""
    seed: NonNegativeInt = 0
    """Of all that is drawn."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""

    def __post_init__(self) -> None:
        problems = check(self)
        if self.data is not None and self.split is not None:
            problems.append(
                f"--split: expected without --data. Received: {self.split}, with "
                f"--data {self.data}. Leave one of them out"
            )
        if problems:
            raise RefusedError(problems, heading="audit")


def run(arguments: Sequence[str]) -> None:
    (path,), rest = parsing.positional(
        arguments, ["RUN"], program="kerascale audit", usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program="kerascale audit RUN")
    from kerascale.reporting import output_paths, packages
    from kerascale.runs import files, layout
    from kerascale.runtime import extras

    packages.refuse_without_packages("audit")
    extras.refuse_without("audit", "audit", ["fairlearn", "scipy", "sklearn"])
    folder = pathlib.Path(path)
    files.read_json(folder, layout.EVALUATION)
    output_paths.refuse_page_over_other("audit", folder, layout.AUDIT_PAGE)
    quiet.import_tensorflow()
    from kerascale.trust.auditing.audit_run import audit

    found = audit(
        path,
        group=options.group,
        split=options.split,
        data=options.data,
        against=options.against,
        seed=options.seed,
    )
    page = found.write()
    finish(
        {**found.to_json(), "page": str(page)},
        as_json=options.json,
        text=f"{found.text()}\nWrote {page}",
    )
