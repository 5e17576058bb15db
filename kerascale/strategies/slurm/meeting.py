"""Where the workers of a step tell each other their addresses, before TensorFlow runs.

A port that is free on one host need not be on another: each worker takes one of its
own, and tells the first worker, who answers all with the list. The first worker
listens at one of a few ports that follow from the step's name, so that nothing has to
be told before.
"""

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

from kerascale.errors import RefusedError
from kerascale.runtime import heartbeat
from kerascale.runtime.console import say
from kerascale.strategies.slurm.step import Step

# Below those that systems give to connections.
_FIRST_PORT, _NUM_PORTS = 20_000, 12_000
_CANDIDATES = 8
_LARGEST = 2**20
_RETRY_SECONDS = 0.2
_ANSWER_SECONDS = 5.0
# When it is said who is waited for.
_SAY_SECONDS = 10.0


def addresses(step: Step, timeout: float) -> list[str]:
    """`host:port` of each worker, in the order of ranks.

    Args:
        step: Whose tasks all call it.
        timeout: Seconds in which all must have come.

    Raises:
        RefusedError: Naming the workers that have not come.
    """
    until = time.monotonic() + timeout
    # TensorFlow's server listens on every interface.
    with contextlib.closing(socket.socket()) as own:
        own.bind(("", 0))
        address = f"{step.nodes[step.node]}:{own.getsockname()[1]}"
        if step.rank == 0:
            return _host(step, address, until, timeout)
        return _ask(step, address, until, timeout)


def ports(step: Step) -> list[int]:
    """Where the first worker of a step may listen."""
    digest = hashlib.sha256(step.name.encode()).digest()
    first = int.from_bytes(digest[:4])
    return [_FIRST_PORT + (first + 997 * k) % _NUM_PORTS for k in range(_CANDIDATES)]


def _host(step: Step, address: str, until: float, timeout: float) -> list[str]:
    known = {0: address}
    waiting: list[socket.socket] = []
    said = time.monotonic() + _SAY_SECONDS
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_listening(step))
        while len(known) < step.num_workers and time.monotonic() < until:
            heartbeat.beat("waiting for the others")
            if time.monotonic() > said:
                said = time.monotonic() + _SAY_SECONDS
                say(f"waiting for {_names(step, set(known))}")
            server.settimeout(_RETRY_SECONDS)
            try:
                peer, _ = server.accept()
            except TimeoutError:
                continue
            stack.enter_context(contextlib.closing(peer))
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                told = _receive(peer, _ANSWER_SECONDS)
                rank = int(told["rank"])
                if told["step"] == step.name and 0 < rank < step.num_workers:
                    _send(peer, {"step": step.name})
                    known[rank] = str(told["address"])
                    waiting.append(peer)
        is_whole = len(known) == step.num_workers
        missing = "" if is_whole else _names(step, set(known))
        found = [known[rank] for rank in range(step.num_workers)] if is_whole else []
        for peer in waiting:
            with contextlib.suppress(OSError):
                _send(peer, {"step": step.name, "found": found, "missing": missing})
    if missing:
        raise _late(step, missing, timeout)
    return found


def _ask(step: Step, address: str, until: float, timeout: float) -> list[str]:
    told = {"step": step.name, "rank": step.rank, "address": address}
    while (left := until - time.monotonic()) > 0:
        for port in ports(step):
            heartbeat.beat("waiting for the others")
            # Another's server may be there, or none yet.
            answer = None
            with (
                contextlib.suppress(OSError, ValueError, KeyError, TypeError),
                socket.create_connection((step.nodes[0], port), 2.0) as peer,
            ):
                _send(peer, told)
                if _receive(peer, _ANSWER_SECONDS)["step"] == step.name:
                    answer = _receive(peer, left + _ANSWER_SECONDS)
            if answer is not None:
                if answer["missing"]:
                    raise _late(step, answer["missing"], timeout)
                return [str(each) for each in answer["found"]]
        time.sleep(_RETRY_SECONDS)
    raise _late(step, f"worker 0 on {step.nodes[0]}", timeout)


@contextlib.contextmanager
def _listening(step: Step) -> Iterator[socket.socket]:
    taken = []
    for port in ports(step):
        with contextlib.closing(socket.socket()) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                server.bind(("", port))
                server.listen(step.num_workers)
            except OSError:
                taken.append(port)
                continue
            yield server
            return
    raise RefusedError(
        f"Slurm: expected one of the ports {', '.join(map(str, taken))} to be free on "
        f"{step.nodes[0]}, where the workers meet. Received: all of them taken. Start "
        "the step again."
    )


def _send(peer: socket.socket, document: Any) -> None:
    peer.sendall(json.dumps(document).encode() + b"\n")


def _receive(peer: socket.socket, seconds: float) -> Any:
    peer.settimeout(seconds)
    line = bytearray()
    # No more than the line: the next one has a time of its own.
    while not line.endswith(b"\n"):
        part = peer.recv(1)
        if not part or len(line) > _LARGEST:
            raise ValueError("expected a line")
        line += part
    return json.loads(line)


def _names(step: Step, known: set[int]) -> str:
    missing = [r for r in range(step.num_workers) if r not in known]
    shown = [f"worker {rank} on {step.node_of(rank)}" for rank in missing[:8]]
    more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
    return ", ".join(shown) + more


def _late(step: Step, missing: str, timeout: float) -> RefusedError:
    return RefusedError(
        f"Slurm: expected all {step.num_workers} workers of step {step.name} within "
        f"{timeout:g} s. Received: none of {missing}. Look at the log of that node, or "
        "wait longer: --start-timeout."
    )
