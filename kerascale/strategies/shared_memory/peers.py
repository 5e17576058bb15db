"""Messages between the processes of one host, which end when one of them dies.

Each process has a pipe for every peer; the peers open it through `/proc/PID/fd`, so
nothing has a name that could be left behind, and only processes of the same user get
in. A pipe tells at once when the process at its other end is gone, however it went.
"""

import contextlib
import os
import pathlib
import select
import struct
import time
from collections.abc import Sequence

_BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")

# Sequence number, kind, digest of what is done, value. Far less than a pipe takes at
# once, so that a message is whole or not there.
_MESSAGE = struct.Struct("<4q")

# A child that a peer has forked keeps its pipes open: how often the peer itself is
# looked at.
_LOOK_SECONDS = 0.5
# To sleep and to be woken takes a third of it.
_AWAKE_SECONDS = 60e-6
# For a peer that lives and does not come. A launcher notices much sooner.
PATIENCE_SECONDS = 600.0

# A kind of message: whoever sends it has given up, because of the rank in its value.
_GIVEN_UP = -1


class PeerError(RuntimeError):
    """A peer is gone, or does something else than this process."""


class Peers:
    """The processes of a job that are on this host: all of them.

    Args:
        rank: Of this process.
        num_ranks: How many there are.
        patience_seconds: The longest that a living peer is waited for.
    """

    def __init__(
        self, rank: int, num_ranks: int, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self.rank = rank
        self.num_ranks = num_ranks
        self._patience_seconds = patience_seconds
        self._others = [other for other in range(num_ranks) if other != rank]
        self._failure: str | None = None
        self._inboxes: dict[int, int] = {}
        self._doors: dict[int, int] = {}
        self._outboxes: dict[int, int] = {}
        self._processes: dict[int, tuple[int, int]] = {}
        for other in self._others:
            self._inboxes[other], self._doors[other] = os.pipe()
            os.set_blocking(self._inboxes[other], False)

    @property
    def address(self) -> list[int]:
        """What the others need to reach this process; as long for each of them."""
        pid = os.getpid()
        doors = [self._doors.get(other, -1) for other in range(self.num_ranks)]
        return [*_boot(), pid, _start_time(pid) or 0, *doors]

    def connect(self, addresses: Sequence[Sequence[int]]) -> str:
        """Opens the pipes of the others. None of them is waited for.

        Args:
            addresses: Of all ranks, in their order.

        Returns:
            Why one of them cannot be reached; empty if all can.
        """
        boot = _boot()
        for other in self._others:
            high, low, pid, started, *doors = map(int, addresses[other])
            if (high, low) != boot:
                return f"worker {other} is on another host"
            if started == 0 or _start_time(pid) != started:
                return f"worker {other} is out of sight, in a container of its own"
            try:
                door = os.open(f"/proc/{pid}/fd/{doors[self.rank]}", os.O_WRONLY)
            except OSError as error:
                return f"worker {other} cannot be reached: {error.strerror}"
            self._outboxes[other] = door
            self._processes[other] = (pid, started)
        return ""

    def close_doors(self) -> None:
        """All have come in: from now on a pipe ends with the peer that writes to it."""
        for door in self._doors.values():
            os.close(door)
        self._doors = {}

    def close(self) -> None:
        """Closes everything; the others take it for the end of this process."""
        for files in (self._inboxes, self._doors, self._outboxes):
            for file in files.values():
                os.close(file)
            files.clear()

    def exchange(
        self, sequence: int, kind: int, digest: int, value: int = 0
    ) -> list[int]:
        """Returns when all ranks have called it.

        Args:
            sequence: A number that all count alike.
            kind: What is exchanged.
            digest: The same for all that do the same.
            value: For the others.

        Returns:
            The value of each rank.

        Raises:
            PeerError: As `hear`.
        """
        self.tell(sequence, kind, digest, value)
        return self.hear(sequence, kind, digest, value)

    def tell(self, sequence: int, kind: int, digest: int, value: int = 0) -> None:
        """Sends a message to all others, and waits for nobody."""
        self._refuse_if_broken()
        message = _MESSAGE.pack(sequence, kind, digest, value)
        for other in self._others:
            try:
                os.write(self._outboxes[other], message)
            except BrokenPipeError:
                while True:  # The last that it has said may be why it went.
                    self._receive(other, sequence)

    def hear(self, sequence: int, kind: int, digest: int, value: int = 0) -> list[int]:
        """Waits for the message of each other rank.

        Args:
            sequence: As of `tell`.
            kind: As of `tell`.
            digest: As of `tell`.
            value: That of this rank, among those returned.

        Raises:
            PeerError: A peer is gone, does not come, or sends another message.
        """
        self._refuse_if_broken()
        values = []
        for rank in range(self.num_ranks):
            if rank == self.rank:
                values.append(value)
                continue
            received = self._receive(rank, sequence)
            if received[:3] != (sequence, kind, digest):
                raise self.fail(
                    f"worker {rank} is out of step: expected reduction {sequence}, "
                    f"part {kind}, of {digest:x}. Received: reduction {received[0]}, "
                    f"part {received[1]}, of {received[2]:x}. All workers must train "
                    "the same model on the same number of batches.",
                    rank,
                )
            values.append(received[3])
        return values

    def fail(self, message: str, because_of: int | None = None) -> PeerError:
        """Gives up, and tells the others why.

        Args:
            message: What went wrong.
            because_of: The rank that it is about; None: this one.

        Returns:
            The error to raise.
        """
        self._failure = message
        rank = self.rank if because_of is None else because_of
        last = _MESSAGE.pack(0, _GIVEN_UP, 0, rank)
        for outbox in self._outboxes.values():
            with contextlib.suppress(OSError):
                os.write(outbox, last)
        self.close()
        return PeerError(message)

    def open_file(self, rank: int, number: int) -> int:
        """Opens a file that another rank has opened, by its number there."""
        pid, _ = self._processes[rank]
        return os.open(f"/proc/{pid}/fd/{number}", os.O_RDWR)

    def _receive(self, other: int, sequence: int) -> tuple[int, ...]:
        inbox = self._inboxes[other]
        data = self._soon(inbox)
        if data is None:
            self._wait(other, sequence)
            data = os.read(inbox, _MESSAGE.size)
        if len(data) < _MESSAGE.size:
            raise self._lost(other)
        message = _MESSAGE.unpack(data)
        if message[1] == _GIVEN_UP:
            raise self._lost(message[3], told_by=other)
        return message

    def _soon(self, inbox: int) -> bytes | None:
        """What comes within the time in which a process that sleeps wakes up."""
        until = time.perf_counter() + _AWAKE_SECONDS
        while True:
            try:
                return os.read(inbox, _MESSAGE.size)
            except BlockingIOError:
                if time.perf_counter() > until:
                    return None

    def _wait(self, other: int, sequence: int) -> None:
        """Returns when something has come from a rank, or it is gone."""
        inbox = self._inboxes[other]
        waiting = select.poll()
        waiting.register(inbox, select.POLLIN)
        began = time.monotonic()
        while not waiting.poll(_LOOK_SECONDS * 1000):
            for each in self._others:
                if not self._lives(each):
                    raise self._lost(each)
            seconds = time.monotonic() - began
            if seconds > self._patience_seconds:
                pid, _ = self._processes[other]
                raise self.fail(
                    f"worker {other} (process {pid}) runs, but has not come to "
                    f"reduction {sequence} within {seconds:.0f} s.",
                    other,
                )

    def _lost(self, rank: int, told_by: int | None = None) -> PeerError:
        pid, _ = self._processes.get(rank, (None, None))
        if rank == told_by:
            text = f"worker {rank} (process {pid}) has given up: see what it says."
        elif rank == self.rank:
            text = f"worker {told_by} has given up on this one, worker {rank}."
        else:
            text = (
                f"worker {rank} (process {pid}) is gone: it ended or was killed while "
                "gradients were summed."
            )
        return self.fail(text, rank)

    def _lives(self, other: int) -> bool:
        pid, started = self._processes[other]
        return _start_time(pid) == started

    def _refuse_if_broken(self) -> None:
        if self._failure is not None:
            raise PeerError(self._failure)


def _start_time(pid: int) -> int | None:
    """When a process started, in ticks; None if it has ended."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    fields = text.rpartition(")")[2].split()
    # Ended, and not collected by its parent yet.
    return None if fields[0] in ("Z", "X") else int(fields[19])


def _boot() -> tuple[int, int]:
    """What tells this host, as long as it runs, from all others; 0 if nothing does."""
    try:
        number = int(_BOOT.read_text().strip().replace("-", ""), 16)
    except (OSError, ValueError):
        return 0, 0
    return number >> 66, number & (2**62 - 1)
