"""What kerascale raises, and the exit code that the command line gives to each."""

from collections.abc import Iterable

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_REFUSED = 2
# sysexits.h: a temporary failure; whoever restarts jobs may start it again.
EXIT_STOPPED = 75
# What a shell reports for a process that SIGINT ended.
EXIT_INTERRUPTED = 130


class RefusedError(ValueError):
    """Bad input, refused before the first step.

    It carries every problem that was found, not only the first one, so that
    somebody can mend them all in one go. The command line exits with 2.

    Args:
        problems: One message, or one message for each problem. Each says what
            was expected, what was received and what to do.
        heading: What was refused. Printed above the problems if there are
            several of them.
    """

    def __init__(
        self, problems: str | Iterable[str], *, heading: str = "Refused"
    ) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        self.heading = heading
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        return f"{self.heading}: {len(self.problems)} problems{lines}"


class TooLargeError(RefusedError):
    """Data that would not fit in memory. Packed, it can be trained on."""


class ExportRefusedError(RuntimeError):
    """A model that is not to be served as it is. Nothing was exported.

    The command line exits with 1.

    Args:
        problems: One message, or a heading and a message for each problem.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        first, *rest = [problems] if isinstance(problems, str) else problems
        self.problems = rest or [first]
        lines = "".join(f"\n  - {problem}" for problem in rest)
        super().__init__(f"{first}{':' if rest else ''}{lines}\nNothing was exported.")


class DamagedRunError(RuntimeError):
    """A run has checkpoints, and none of them is whole. The command exits with 1."""


class PackFailedError(RuntimeError):
    """A data set could not be packed to its end, or is damaged. The command exits with
    1; the same command goes on."""


class StoppedError(Exception):
    """The run was asked to stop, and has saved its state.

    The command line exits with 75; the same command goes on.

    Args:
        step: Batches that have been trained; None: it was before the first one, or
            after the last.
        is_kept: Whether the state was saved; a dry run's is not.
    """

    def __init__(self, step: int | None, is_kept: bool = True) -> None:
        self.step = step
        where = "" if step is None else f" after step {step}"
        then = "the same command goes on" if is_kept else "nothing was kept"
        super().__init__(f"stopped on request{where}; {then}")


class NonFiniteError(ArithmeticError):
    """The loss became NaN or infinite during training. The run has failed.

    The command line exits with 1; what was saved before is still finite.
    """


class SaveFailedError(RuntimeError):
    """A file of a run could not be written. What was saved before is as it was.

    Args:
        step: The step that was to be saved; None: it was no checkpoint.
        number: The `errno` of the operating system, such as `errno.ENOSPC`; None if
            there is none.
        reason: What went wrong, and where.
        what: What was to be written; None: the checkpoint of the step.
    """

    def __init__(
        self,
        step: int | None,
        number: int | None,
        reason: str,
        what: str | None = None,
    ) -> None:
        self.step = step
        self.errno = number
        self.reason = reason
        self.what = what
        cause = reason if number is None else f"errno {number}: {reason}"
        if what is None:
            way_out = "make the folder writable, and save again"
        else:
            way_out = "make the folder writable"
        super().__init__(
            f"SAVE FAILED: expected to write {what or f'the checkpoint of step {step}'}"
            f". Received: {cause}. Older checkpoints are as they were. Make room, or "
            f"{way_out}."
        )

    def __reduce__(self) -> tuple[type, tuple[int | None, int | None, str, str | None]]:
        return type(self), (self.step, self.errno, self.reason, self.what)


def first_line(error: Exception) -> str:
    """What an error says, in one line; its class where it says nothing."""
    return (str(error).strip() or repr(error)).splitlines()[0]
