"""A fault: a few characters of the product's source, and what they are changed into."""

import dataclasses
import pathlib


class StaleError(Exception):
    """The source has changed, and a fault does not fit it any more."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """A small change of one file that makes the product wrong.

    Args:
        name: What is wrong then, in words with hyphens between them.
        file: The file, below `kerascale/`; the first folder is the fault's room.
        old: Text that occurs there once. Short, so that it survives a refactoring.
        new: What stands there instead.
        tests: Tests below `tests/ROOM/` that should see it; they are run first.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()

    @property
    def room(self) -> str:
        return self.file.partition("/")[0]

    def patched(self, tree: pathlib.Path) -> str:
        """The file's text with the fault in it.

        Args:
            tree: The folder that `kerascale/` is in.

        Raises:
            StaleError: If `old` does not occur exactly once, or nothing would change,
                or the text would be no Python any more.
        """
        path = self.path(tree)
        if not path.is_file():
            raise StaleError(f"{self.name}: there is no {self.file}")
        text = path.read_text(encoding="utf-8")
        count = text.count(self.old)
        if count != 1:
            raise StaleError(
                f"{self.name}: expected once in {self.file}. Received: {count} times: "
                f"{self.old!r}"
            )
        text = text.replace(self.old, self.new)
        if self.old == self.new:
            raise StaleError(f"{self.name}: changes nothing")
        try:
            compile(text, self.file, "exec")
        except SyntaxError as error:
            raise StaleError(f"{self.name}: no Python any more: {error}") from error
        return text

    def path(self, tree: pathlib.Path) -> pathlib.Path:
        return tree / "kerascale" / self.file
