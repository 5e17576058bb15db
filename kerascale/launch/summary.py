"""How a launch ended: its exit code, and what a person is told."""

import dataclasses
import signal
from collections.abc import Callable, Sequence

from kerascale.errors import EXIT_DONE, EXIT_REFUSED, EXIT_STOPPED
from kerascale.launch.worker import Worker, signal_name
from kerascale.runtime import heartbeat
from kerascale.runtime.heartbeat import Beat

_LAST_LINES = 20


@dataclasses.dataclass
class Ending:
    """What brought the workers to their end.

    Args:
        workers: All of them, ended.
        failed: The one that failed first, if that came before any signal.
        signal: The signal to the launcher, if that came before any failure.
        step: Batches that had been trained, by the worker that was furthest.
        run_dir: The run folder, if a worker has named it.
        hopeless: Whether a worker has said that it would fail again.
    """

    workers: list[Worker]
    failed: Worker | None = None
    signal: int | None = None
    step: int = 0
    run_dir: str | None = None
    hopeless: bool = False

    def note_progress(self, beats: Sequence[Beat]) -> None:
        """Takes over what the workers' last signs of life say."""
        self.step = max((beat.step for beat in beats), default=0)
        self.run_dir = next((b.run_dir for b in beats if b.run_dir is not None), None)
        self.hopeless = any(beat.phase == heartbeat.HOPELESS for beat in beats)

    @property
    def same_code(self) -> bool:
        """Whether all ended with one exit code, none of them by the launcher."""
        codes = {worker.shell_code for worker in self.workers}
        return len(codes) == 1 and not any(worker.stopped_by for worker in self.workers)

    @property
    def exit_code(self) -> int:
        """0 if all is done; else what the first failure says, or the signal."""
        if self.failed is not None:
            return self.failed.shell_code
        if self.signal is not None and not self.same_code:
            return 128 + self.signal
        return self.workers[0].shell_code


def describe(ending: Ending, last_lines: Callable[[Worker, int], list[str]]) -> str:
    """The last words of the launcher.

    Args:
        ending: How the workers ended.
        last_lines: Gives the last lines that a worker wrote to standard error.

    Returns:
        Some lines; empty if all is done.
    """
    if ending.failed is None and ending.signal is None:
        return ""
    if ending.same_code:
        code = ending.exit_code
        if code == EXIT_DONE:
            return ""
        if code in (EXIT_REFUSED, EXIT_STOPPED) or ending.signal is not None:
            # They have said why themselves.
            return f"every worker ended: {ending.workers[0].how}."
    if ending.failed is None:
        ends = ", ".join(f"{worker.name}: {_end(worker)}" for worker in ending.workers)
        return f"stopped by {signal_name(ending.signal)}. {ends}."
    return _failure(ending, last_lines(ending.failed, _LAST_LINES))


def _failure(ending: Ending, last_lines: list[str]) -> str:
    failed = ending.failed
    text = f"FAILED. {failed.name} was the first to fail: {failed.how}."
    others = [worker for worker in ending.workers if worker is not failed]
    stopped = [worker.name for worker in others if worker.stopped_by]
    ended = [worker for worker in others if not worker.stopped_by]
    if stopped:
        text += f" Stopped for it: {', '.join(stopped)}."
    if ended:
        ends = ", ".join(f"{worker.name} ({worker.how})" for worker in ended)
        text += f" Ended too: {ends}."
    if not last_lines:
        return f"{text} It wrote nothing to standard error."
    lines = "".join(f"\n  {line}" for line in last_lines)
    return f"{text} Its last lines:{lines}"


def _end(worker: Worker) -> str:
    if worker.stopped_by == signal.SIGKILL:
        return "did not end in time and was killed"
    return worker.how
