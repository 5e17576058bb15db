"""Saving beside the training: the caller hands arrays over and goes on."""

import atexit
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kerascale.runs.checkpoint.peers import PartStore
from kerascale.runs.checkpoint.store import Store
from kerascale.runtime.pace import Pace

# Of one core's time, as long as nobody waits.
_SHARE = 0.04


class Writer:
    """Writes checkpoints in a thread of its own, one after the other.

    One is being written and one may wait, so that there are never more than two copies
    of the arrays here. None is dropped: who comes with a third waits.

    The thread lives while there is something to write, and an interpreter that ends
    normally waits for it. A process that ends by `os._exit` or by a signal does not.

    It leaves the processors to the training: it works a small share of the time, and
    without a pause only when somebody waits for it.

    The methods are for one thread, and not for signal handlers.

    Args:
        store: Where to.
        on_error: Called with what failed, in the writer's thread; the training then
            goes on. None: the next `submit` or `wait` raises it, so that the training
            stops. What nobody asked for by the end of the process is printed.
    """

    def __init__(
        self,
        store: Store | PartStore,
        *,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._store = store
        self._on_error = on_error
        self._pace = Pace(_SHARE)
        self._changed = threading.Condition()
        self._begun: tuple[Any, ...] | None = None
        self._waiting: tuple[Any, ...] | None = None
        self._is_running = False
        self._failures: list[BaseException] = []
        atexit.register(_print_failures, weakref.ref(self))

    def submit(
        self,
        step: int,
        arrays: Mapping[str, np.ndarray],
        metadata: Mapping[str, Any],
        saved: Callable[[Mapping[str, np.ndarray]], None] | None = None,
    ) -> float:
        """Hands a checkpoint over. See `Store.save` for the arguments.

        Args:
            step: The step.
            arrays: Copies: nobody may change them any more.
            metadata: Plain values, which nobody may change any more either.
            saved: Called with the arrays when they are on the disk, in the writer's
                thread: they are the caller's again. Not called if they could not be
                saved.

        Returns:
            The seconds that the caller was held up because two others were unfinished.

        Raises:
            SaveFailedError: If one of before has failed and nobody was told. Nothing
                was handed over then.
        """
        with self._changed:
            self._raise_failures()
            seconds = self._make_room()
            if self._is_running:
                self._waiting = (step, arrays, metadata, saved)
            else:
                self._start((step, arrays, metadata, saved))
        return seconds

    def make_room(self) -> float:
        """Returns when `submit` would not hold up the caller.

        It is for a caller that copies into what was given back: with three copies at
        a time one would be new memory, which takes longer than the copy.

        Returns:
            The seconds that it took.

        Raises:
            SaveFailedError: If one of before has failed and nobody was told.
        """
        with self._changed:
            self._raise_failures()
            return self._make_room()

    def wait(self) -> None:
        """Returns when everything that was handed over is on the disk.

        Raises:
            SaveFailedError: If one has failed and nobody was told.
        """
        with self._changed:
            self._pace.hurry()
            while self._is_running:
                self._changed.wait()
            self._pace.calm()
            self._raise_failures()

    def hurry(self) -> None:
        """Without a pause from now on: the training has ended."""
        self._pace.hurry()

    def _make_room(self) -> float:
        if self._waiting is None:
            return 0.0
        began = time.monotonic()
        self._pace.hurry()
        while self._waiting is not None:
            self._changed.wait()
        self._pace.calm()
        self._raise_failures()
        return time.monotonic() - began

    def _start(self, job: tuple[Any, ...]) -> None:
        # Not a daemon: the end of the interpreter would kill it in a save.
        thread = threading.Thread(
            target=self._run, name="checkpoint-writer", daemon=False
        )
        # Not as an argument, which the thread would hold as long as it lives.
        self._begun = job
        self._is_running = True
        try:
            thread.start()
        except BaseException:
            self._begun = None
            self._is_running = False
            raise

    def _run(self) -> None:
        job, self._begun = self._begun, None
        while job is not None:
            try:
                with self._pace.kept():
                    self._store.save(*job[:3])
                if job[3] is not None:
                    job[3](job[1])
            except BaseException as error:  # Whoever waits must not wait for ever.
                self._fail(error)
            with self._changed:
                # The arrays of the finished one are free before the next begins.
                job, self._waiting = self._waiting, None
                self._is_running = job is not None
                self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        # Its frames hold the arrays, and it may be kept for long.
        for each in (error, error.__cause__):
            if each is not None:
                traceback.clear_frames(each.__traceback__)
        if self._on_error is not None:
            try:
                self._on_error(error)
            except BaseException as another:
                error = another
            else:
                return
        with self._changed:
            self._failures.append(error)

    def _raise_failures(self) -> None:
        if not self._failures:
            return
        first, *others = self._failures
        self._failures = []
        for other in others:
            first.add_note(f"Then: {other}")
        raise first


def _print_failures(reference: "weakref.ref[Writer]") -> None:
    """The last chance to tell: `atexit` comes after the end of the other threads."""
    writer = reference()
    if writer is not None:
        for error in writer._failures:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
