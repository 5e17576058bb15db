"""What follows from what agents know of each other. Nothing here waits or writes."""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence

from kerascale.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_STOPPED
from kerascale.launch.elastic.records import Generation, Member, Record

# A shell's own: a command that is not there, or is no program.
_NO_COMMAND = (126, 127)
# What would be the same the next time, or what a person has asked a worker for.
_FINAL = (EXIT_REFUSED, EXIT_INTERRUPTED, *_NO_COMMAND)

RUNNING, CUT, LOST, ENDED = "running", "cut off", "lost", "ended"


@dataclasses.dataclass(frozen=True)
class View:
    """What an agent knows.

    Args:
        records: The last record of each host, by name; its own as it is now.
        alive: Names of those whose records change.
        generations: All of them, the newest last.
        hosts: How many hosts the job should have.
        min_workers: How many it may go on with.
        max_restarts: How many failures of workers it may have.
        is_late: Whether it has been waited long enough for all hosts.
    """

    records: Mapping[str, Record]
    alive: Collection[str]
    generations: Sequence[Generation]
    hosts: int
    min_workers: int
    max_restarts: int
    is_late: bool = False

    @property
    def newest(self) -> Generation | None:
        return self.generations[-1] if self.generations else None

    def group(self) -> list[str]:
        """The largest set of living hosts that all reach each other, by name.

        Hosts that reach the fewest others are left out first; of those that reach
        as many, one that does not train, and the last by name.
        """
        now = {m.name for m in self.newest.members} if self.newest else set()
        found = sorted(self.alive, key=by_number)
        while True:
            links = {a: sum(self._linked(a, b) for b in found) for a in found}
            if all(count == len(found) - 1 for count in links.values()):
                return found
            found.remove(min(reversed(found), key=lambda a: (links[a], a in now)))

    def _linked(self, one: str, other: str) -> bool:
        return (
            one != other
            and other in self.records[one].reaches
            and one in self.records[other].reaches
        )

    def states(self) -> dict[str, str]:
        """How each worker of the newest generation is, by the name of its host."""
        group = self.group()
        return {m.name: self._state(m, group) for m in self.newest.members}

    def _state(self, member: Member, group: Collection[str]) -> str:
        record = self.records.get(member.name)
        if record is None or record.instance != member.instance:
            return LOST
        if record.ended >= self.newest.number:
            return ENDED
        if member.name not in self.alive:
            return LOST
        return RUNNING if member.name in group else CUT


def by_number(name: str) -> list:
    """Orders names as a person does: `w-2` before `w-10`."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if part.isdigit() else part for part in parts]


def is_broken(view: View) -> bool:
    """Whether the workers of the newest generation cannot go on together."""
    states = view.states()
    return any(
        state in (CUT, LOST)
        or (state == ENDED and view.records[name].code not in (EXIT_DONE, EXIT_STOPPED))
        for name, state in states.items()
    )


def codes(view: View) -> dict[str, int | None]:
    """How workers of the newest generation ended, by host, of those that have."""
    states = view.states()
    return {n: view.records[n].code for n, state in states.items() if state == ENDED}


def newcomers(view: View) -> list[str]:
    """Hosts that could train along, and do not."""
    if view.newest is None:
        return []
    now = {member.instance for member in view.newest.members}
    room = view.hosts - len(now)
    found = [
        name
        for name in view.group()
        if (record := view.records[name]).instance not in now
        and not record.is_leaving
        # No worker of before runs there any more.
        and record.ended >= view.newest.number
    ]
    return found[: max(0, room)]


@dataclasses.dataclass(frozen=True)
class Next:
    """What follows when no worker of the newest generation runs any more.

    Args:
        generation: That which follows; None: none yet.
        code: The job is over, with this exit code; None: it is not.
        text: Why, for a person; or what is waited for.
    """

    generation: Generation | None = None
    code: int | None = None
    text: str = ""


def what_follows(view: View) -> Next | None:
    """None: workers run, or have not all ended."""
    newest = view.newest
    if newest is None:
        return _form(view, "start", "", 0, "")
    states = view.states()
    if any(state in (RUNNING, CUT) for state in states.values()):
        return None
    ended = {n: view.records[n] for n, state in states.items() if state == ENDED}
    group = view.group()
    leaving = [n for n, record in ended.items() if record.is_leaving]
    # One that was cut off has ended its worker, and still cannot be reached.
    cut = [n for n in ended if n not in group and n not in leaving]
    lost = [name for name, state in states.items() if state == LOST]
    codes = {record.code for record in ended.values()}
    step = max((record.step for record in ended.values()), default=newest.step)
    is_ours = any(
        m.name in view.alive and view.records[m.name].instance == m.instance
        for m in newest.members
    )
    if not is_ours:  # Of a launch before this one.
        return _form(view, "start", "", 0, "")
    if not lost and codes == {EXIT_DONE}:
        return Next(code=EXIT_DONE)
    final = next((r for r in ended.values() if r.code in _FINAL or r.is_hopeless), None)
    if final is not None:
        text = f"{final.name} ended with exit code {final.code}: not started again"
        return Next(code=shell_code(final.code), text=text)
    asked = any(record.asked == newest.number for record in view.records.values())
    if lost or cut:
        what = "lost" if lost else "cut off"
        gone = lost or cut
        why = f"{_names(gone)} {_were(gone)} {what} at step {step}"
        return _form(view, "lost", "killed", step, why)
    if codes <= {EXIT_DONE, EXIT_STOPPED}:
        if leaving:
            return _form(
                view, "left", "", step, f"{_names(leaving)} left at step {step}"
            )
        if asked:
            new = _names(newcomers(view)) or "nobody"
            return _form(view, "returned", "", step, f"{new} came at step {step}")
        return Next(code=EXIT_STOPPED, text=f"stopped on request at step {step}")
    # One that was killed brought down the others, which end by an exit code.
    failed = min(
        (r for r in ended.values() if r.code != EXIT_DONE),
        key=lambda r: (not r.reason, r.reason != "stuck", (r.code or 0) >= 0),
    )
    return _after_failure(view, failed, step)


def _after_failure(view: View, failed: Record, step: int) -> Next:
    newest = view.newest
    code = shell_code(failed.code if failed.code is not None else 1)
    how = "was stuck" if failed.reason == "stuck" else f"ended with exit code {code}"
    what = f"the worker on {failed.name} {how} at step {step}"
    failures = []
    for generation in reversed(view.generations):
        if generation.kind == "start":
            break
        failures.append(generation)
    count = sum(generation.kind == "failed" for generation in failures)
    if newest.kind == "failed" and newest.step == step:
        return Next(code=code, text=f"{what}, for the second time: given up")
    if count >= view.max_restarts:
        return Next(
            code=code,
            text=f"{what}: given up after {count} restarts (--max-restarts). The same "
            "command goes on from the last checkpoint",
        )
    return _form(view, "failed", failed.reason or "failed", step, what)


def _form(view: View, kind: str, reason: str, step: int, why: str) -> Next:
    can = [n for n in view.group() if not view.records[n].is_leaving]
    number = view.newest.number if view.newest else 0
    can = [name for name in can if view.records[name].ended >= number][: view.hosts]
    least = view.hosts if kind == "start" and not view.is_late else view.min_workers
    staying = [n for n in view.alive if not view.records[n].is_leaving]
    if not staying:
        return Next(code=EXIT_STOPPED, text=why or "stopped on request")
    if len(can) < least:
        if view.is_late:
            return Next(
                code=EXIT_STOPPED,
                text=f"expected at least {view.min_workers} hosts. Received: "
                f"{_names(can) or 'none'}. The same command goes on with more",
            )
        here = f"here: {_names(can)}" if can else "none is here"
        return Next(text=f"waiting for {least - len(can)} of {least} hosts ({here})")
    members = tuple(_member(view.records[name]) for name in can)
    made = Generation(number + 1, members, kind, reason, step, why)
    return Next(generation=made)


def _member(record: Record) -> Member:
    address = f"{record.host}:{record.worker_port}"
    return Member(record.name, record.instance, address)


def shell_code(code: int) -> int:
    """An exit code as a shell reports it: 128 + N for signal N."""
    return code if code >= 0 else 128 - code


def restarts(generations: Sequence[Generation]) -> dict[str, int]:
    """Reason -> how often this job was started again for it."""
    found: dict[str, int] = {}
    for generation in generations:
        if generation.kind == "start":
            found = {}
        elif generation.reason:
            found[generation.reason] = found.get(generation.reason, 0) + 1
    return found


def _were(names: Collection[str]) -> str:
    return "was" if len(names) == 1 else "were"


def _names(names: Collection[str]) -> str:
    return ", ".join(sorted(names, key=by_number))
