"""What looks after one host of the job: its worker, and who trains together."""

import dataclasses
import os
import pathlib
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

from kerascale.errors import EXIT_DONE, EXIT_STOPPED, RefusedError
from kerascale.launch.elastic import deciding
from kerascale.launch.elastic.deciding import View
from kerascale.launch.elastic.hosted import HostedWorker
from kerascale.launch.elastic.options import Options
from kerascale.launch.elastic.reach import Reach
from kerascale.launch.elastic.records import Generation, Meeting, Record
from kerascale.launch.environment import free_ports
from kerascale.launch.signals import Signals
from kerascale.launch.worker import signal_name
from kerascale.runtime.terminal import Screen

_LOOK_SECONDS = 0.1
_BEAT_SECONDS = 0.5


class Agent:
    """Runs this host's worker in generation after generation, until the job is over.

    Args:
        command: Program and arguments of a worker.
        folder: Where agents meet; shared by all hosts.
        options: See `Options`.
        screen: Where everything but the first worker's standard output goes.
        environ: Of the workers, beside what makes the cluster.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: pathlib.Path,
        options: Options,
        screen: Screen,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._command = list(command)
        self._options = options
        self._screen = screen
        self._environ = dict(environ)
        self._meeting = Meeting(folder)
        instance = secrets.token_hex(8)
        self._reach = Reach(instance)
        known = self._meeting.generations()
        self._own = Record(
            options.name,
            instance,
            options.address,
            self._reach.port,
            # None of a launch before this one runs here.
            ended=known[-1].number if known else 0,
        )
        # Name -> (instance, count, when it changed).
        self._seen: dict[str, tuple[str, int, float]] = {}
        self._lived: set[tuple[str, str]] = set()
        self._worker: HostedWorker | None = None
        self._began = self._waiting_since = time.monotonic()
        self._said = ""

    def run(self) -> int:
        """Returns when the job is over.

        Returns:
            Its exit code, the same on all hosts: 0 when the run is finished; 75 when
            it was stopped on request, or hosts are missing; that of a worker that is
            not started again.
        """
        self._refuse_a_second_one()
        self._reach.start()
        with (
            tempfile.TemporaryDirectory(prefix="kerascale-launch-") as folder,
            Signals() as signals,
        ):
            beaten = 0.0
            try:
                while True:
                    now = time.monotonic()
                    if signals.first is not None and not self._own.is_leaving:
                        self._leave(signals.first)
                    if signals.hurry and self._worker is not None:
                        self._worker.kill()
                    self._note_worker(now)
                    if now - beaten >= _BEAT_SECONDS:
                        beaten = now
                        self._beat()
                        view = self._look(now)
                        code = self._act(view, now, pathlib.Path(folder))
                        if code is not None:
                            return code
                    time.sleep(_LOOK_SECONDS)
            finally:
                if self._worker is not None:
                    self._worker.close()

    # ------------------------------------------------------------ what is known

    def _refuse_a_second_one(self) -> None:
        before = self._meeting.records().get(self._options.name)
        if before is None:
            return
        time.sleep(3 * _BEAT_SECONDS)
        now = self._meeting.records().get(self._options.name)
        if now is not None and now.count != before.count:
            raise RefusedError(
                f"name: expected another one on each host. Received: "
                f"{self._options.name!r}, by which a host is known in "
                f"{self._meeting.folder} that lives. Give this one --name."
            )

    def _beat(self) -> None:
        worker = self._worker
        self._own = dataclasses.replace(
            self._own,
            count=self._own.count + 1,
            reaches=self._reach.reached(),
            worker_port=self._own.worker_port or free_ports(1)[0],
            step=worker.step if worker is not None else self._own.step,
            is_training=worker is not None and worker.has_trained,
            generation=(self._meeting.generations() or [None])[-1],
        )
        self._meeting.write(self._own)

    def _look(self, now: float) -> View:
        records = self._meeting.records()
        records[self._own.name] = self._own
        for name, record in records.items():
            seen = self._seen.get(name)
            if seen is None:
                # A record of long ago does not make a host alive.
                self._seen[name] = (record.instance, record.count, -float("inf"))
            elif seen[:2] != (record.instance, record.count):
                self._seen[name] = (record.instance, record.count, now)
                self._lived.add((name, record.instance))
        limit = self._options.lost_seconds
        alive = {n for n, (*_, at) in self._seen.items() if now - at < limit}
        alive.add(self._own.name)
        self._lived.add((self._own.name, self._own.instance))
        self._reach.look_for(
            {
                name: (
                    records[name].host,
                    records[name].agent_port,
                    records[name].instance,
                )
                for name in records
                if name != self._own.name
            }
        )
        return View(
            records,
            alive,
            self._meeting.generations(),
            self._options.hosts,
            self._options.min_workers,
            self._options.max_restarts,
            now - self._waiting_since > self._options.start_timeout,
        )

    # -------------------------------------------------------------- what is done

    def _act(self, view: View, now: float, folder: pathlib.Path) -> int | None:
        newest = view.newest
        if newest is not None:
            code = self._final(view, newest.number)
            if code is not None:
                return code
            if self._is_mine(newest) and self._own.ended < newest.number:
                self._waiting_since = now
                if self._worker is None:
                    self._start(newest, view, folder, now)
                self._keep_together(view, now)
                return None
            if self._worker is not None and self._worker.generation < newest.number:
                # This host was taken for lost; the others went on without it.
                self._worker.stop_soon(now, 0.0)
            if self._own.is_leaving and self._worker is None:
                return EXIT_STOPPED
            others = {m.name for m in newest.members} & set(view.alive)
            if self._worker is None and not self._is_mine(newest):
                # No worker of it runs here, for there has been none.
                self._own = dataclasses.replace(self._own, ended=newest.number)
            if others and not self._is_mine(newest):
                self._waiting_since = now
                names = ", ".join(sorted(others, key=deciding.by_number))
                reached = set(view.group()) & others
                how = "" if reached else ", which this host does not reach"
                self._say(
                    f"{self._own.name}: waiting to be taken in; {names} train{how}"
                )
        follows = deciding.what_follows(view)
        if follows is None:
            return None
        if follows.code is not None:
            if follows.text:
                self._say(follows.text)
            number = newest.number if newest is not None else 0
            self._own = dataclasses.replace(self._own, final=(number, follows.code))
            self._beat()
            return follows.code
        if follows.generation is None:
            if follows.text and now - self._began > 2 * _BEAT_SECONDS:
                self._say(follows.text)
            return None
        if follows.generation.members[0].name == self._own.name:
            self._meeting.propose(follows.generation, self._own.instance)
        return None

    def _final(self, view: View, number: int) -> int | None:
        """The exit code of a job that another agent knows to be over."""
        for name, record in view.records.items():
            lived = (name, record.instance) in self._lived
            if lived and record.final is not None and record.final[0] == number:
                return record.final[1]
        return None

    def _is_mine(self, generation: Generation) -> bool:
        return any(m.instance == self._own.instance for m in generation.members)

    def _start(
        self, generation: Generation, view: View, folder: pathlib.Path, now: float
    ) -> None:
        members = generation.members
        rank = [m.instance for m in members].index(self._own.instance)
        workers = ", ".join(f"worker {i} on {m.name}" for i, m in enumerate(members))
        why = f" ({generation.why})" if generation.why else ""
        missing = view.hosts - len(members)
        fewer = f"; {missing} of {view.hosts} hosts are missing" if missing else ""
        self._say(f"start {generation.number}{why}: {workers}{fewer}")
        self._own = dataclasses.replace(self._own, code=None, reason="", asked=0)
        self._began = now
        self._worker = HostedWorker(
            self._command,
            generation,
            rank,
            self._environ,
            deciding.restarts(view.generations),
            folder,
            self._meeting.logs / f"{self._own.name}.log",
            self._screen,
            self._options.stuck_seconds,
        )

    def _keep_together(self, view: View, now: float) -> None:
        """Stops the worker where the others cannot go on, or for one that came."""
        worker = self._worker
        if worker is None:
            return
        if deciding.is_broken(view):
            states = view.states()
            gone = [n for n, s in states.items() if s in (deciding.LOST, deciding.CUT)]
            if gone:
                cut = [n for n in gone if states[n] == deciding.CUT]
                how = "cut off" if cut else "lost"
                self._say(f"{', '.join(gone)}: {how}; the worker here is stopped")
            worker.stop_soon(now, 0.0 if gone else self._options.settle_seconds)
            return
        if EXIT_STOPPED in deciding.codes(view).values():
            # The others have saved; who trains together stops together.
            worker.ask_soon(
                now, self._options.settle_seconds, self._options.grace_seconds
            )
            return
        is_first = view.newest.members[0].instance == self._own.instance
        others = deciding.newcomers(view)
        is_old = now - self._began > self._options.together_seconds
        if (
            is_first
            and others
            and is_old
            and worker.has_trained
            and not self._own.asked
        ):
            self._say(f"{', '.join(others)} came: saving, to train on together")
            self._own = dataclasses.replace(self._own, asked=view.newest.number)
            worker.ask_to_stop(now, self._options.grace_seconds)

    def _leave(self, number: int) -> None:
        self._own = dataclasses.replace(self._own, is_leaving=True)
        self._say(f"{signal_name(number)}: saving; this host leaves")
        if self._worker is not None:
            self._worker.ask_to_stop(time.monotonic(), self._options.grace_seconds)

    def _note_worker(self, now: float) -> None:
        worker = self._worker
        if worker is None or not worker.look(now):
            return
        worker.close()
        self._worker = None
        self._own = dataclasses.replace(
            self._own,
            ended=worker.generation,
            code=None if worker.was_stopped else worker.code,
            reason="" if worker.was_stopped else worker.reason,
            is_hopeless=worker.is_hopeless,
            step=worker.step,
            is_training=False,
            worker_port=0,
        )
        self._waiting_since = now
        if worker.code not in (EXIT_DONE, EXIT_STOPPED) and not worker.was_stopped:
            self._say(f"the worker here failed: {worker.how}")

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._screen.line(f"kerascale launch: {text}.")


def run(
    command: Sequence[str],
    folder: pathlib.Path,
    options: Options,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Looks after this host until the job is over; see `Agent`."""
    return Agent(command, folder, options, Screen(sys.stderr), environ).run()
