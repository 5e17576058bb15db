"""The command line in this process: what a user gets, without a start of 4 s each."""

from typing import NamedTuple

from kerascale.cli import main


class Answer(NamedTuple):
    """What a command said, and its exit code.

    Args:
        code: The exit code.
        text: All that it printed, in one line.
        out: Its standard output.
        err: Its standard error.
    """

    code: int
    text: str
    out: str
    err: str


class Command:
    """Runs `kerascale ...` in a folder of its own.

    Args:
        folder: The working directory.
        monkeypatch: Enters it, and leaves it after the test.
        capfd: Reads what is printed.
    """

    def __init__(self, folder, monkeypatch, capfd):
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def __call__(self, *arguments):
        self._monkeypatch.chdir(self.folder)
        self._capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        out, err = self._capfd.readouterr()
        assert "Traceback" not in err
        return Answer(code, " ".join((out + err).split()), out, err)

    def refused(self, *arguments, leaves=()):
        """What a command said that must be refused, and must leave no run folder.

        Args:
            arguments: The command.
            leaves: Names in the folder that may be there and were not.
        """
        before = set(self.folder.rglob("*"))
        answer = self(*arguments)
        assert answer.code == 2, answer.text
        new = {path.name for path in set(self.folder.rglob("*")) - before}
        assert new <= set(leaves)
        return answer.text
