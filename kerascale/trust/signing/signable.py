"""What is signed: which files of a run folder or of an export, and where it lies."""

import dataclasses
import pathlib

from kerascale.errors import RefusedError
from kerascale.runs import layout
from kerascale.serving import formats, record, versions

# Of a run folder: what the model is, what it was made of and how good it was. All else
# there changes later: logs, pages, checkpoints, smaller versions, audits, cards.
SIGNED_OF_RUNS = (
    layout.CONFIG,
    layout.HISTORY,
    layout.EVALUATION,
    layout.EXAMPLES,
    layout.MODEL,
    layout.RANGES,
    layout.ADAPTER,
    layout.VECTORIZER,
    layout.TOKENIZER,
    layout.COLUMNS,
)


@dataclasses.dataclass(frozen=True)
class Signable:
    """A folder that can be signed.

    Args:
        path: The folder.
        kind: `run` or `export`.
        signature: Where its signature is, or will be.
    """

    path: pathlib.Path
    kind: str
    signature: pathlib.Path

    @property
    def ignored(self) -> list[str]:
        """What is in the folder and is not signed."""
        own = self.signature.relative_to(self.path).as_posix()
        if self.kind == "export":
            return [own]
        names = sorted(path.name for path in self.path.iterdir())
        return [name for name in names if name not in SIGNED_OF_RUNS]

    @property
    def signed(self) -> list[str]:
        """The files that are signed, by their names in the folder."""
        ignored = set(self.ignored)
        return sorted(
            name
            for file in self.path.rglob("*")
            if file.is_file()
            and (name := file.relative_to(self.path).as_posix()) not in ignored
            and name.split("/")[0] not in ignored
        )


def find(path: pathlib.Path) -> list[Signable]:
    """The folders that a path stands for: a run, a version, or all versions in it.

    Raises:
        RefusedError: If it is none of them.
    """
    if (path / layout.CONFIG).is_file():
        if not (path / layout.EVALUATION).is_file():
            raise RefusedError(
                f"run: expected a finished run. Received: {path}, which has no "
                f"{layout.EVALUATION}. The command that began it goes on."
            )
        return [Signable(path, "run", path / layout.SIGNATURE)]
    if path.is_dir() and formats.of_version(path) is not None:
        return [_version(path)]
    numbers = []
    if path.is_dir():
        numbers = [
            n
            for n in versions.numbers(path)
            if formats.of_version(path / str(n)) is not None
        ]
    if not numbers:
        raise RefusedError(
            f"expected the folder of a finished run, or of an export. Received: {path}."
        )
    return [_version(path / str(number)) for number in numbers]


def _version(path: pathlib.Path) -> Signable:
    return Signable(path, "export", path / record.EXTRA / record.SIGNATURE)
