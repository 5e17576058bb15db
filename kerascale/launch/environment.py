"""The environment of each worker: its place in the cluster, its share of the host."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import socket
from collections.abc import Mapping

from kerascale.errors import RefusedError
from kerascale.runtime.host import usable_cores

_HOST = "127.0.0.1"


def make_environments(
    environ: Mapping[str, str],
    *,
    workers: int,
    devices_per_worker: int,
    terminal_size: os.terminal_size | None = None,
) -> list[dict[str, str]]:
    """Environment variables for each worker.

    Args:
        environ: Those of the launcher.
        workers: Number of workers.
        devices_per_worker: Devices that each of them trains on.
        terminal_size: Of the terminal on which somebody watches; None: nobody does.

    Returns:
        One dictionary per worker, in the order of their ranks.

    Raises:
        RefusedError: If there is a cluster already, or there are too few GPUs.
    """
    problems = []
    if environ.get("TF_CONFIG", "").strip():
        problems.append(
            "TF_CONFIG: expected none, because launch makes a cluster of this machine "
            f"alone. Received: {environ['TF_CONFIG'][:200]!r}. Unset it, or run the "
            "command itself on each host of that cluster."
        )
    gpus = visible_gpus(environ)
    wanted = workers * devices_per_worker
    if gpus and len(gpus) < wanted:
        problems.append(
            f"expected {wanted} GPUs: {workers} workers with {devices_per_worker} "
            f"each. Received: {len(gpus)} ({', '.join(gpus)}). Ask for fewer, or set "
            "CUDA_VISIBLE_DEVICES to nothing to train on the CPU."
        )
    if problems:
        raise RefusedError(problems, heading="launch")
    addresses = [f"{_HOST}:{port}" for port in free_ports(workers)]
    environments = []
    for index in range(workers):
        own = {**environ, "KERASCALE_DEVICES": str(devices_per_worker)}
        if workers > 1:
            _join(own, index, addresses)
        if gpus:
            first = index * devices_per_worker
            own["CUDA_VISIBLE_DEVICES"] = ",".join(
                gpus[first : first + devices_per_worker]
            )
        _set_progress(own, index, terminal_size)
        environments.append(own)
    return environments


def _join(environ: dict[str, str], index: int, addresses: list[str]) -> None:
    """Gives a worker its place beside the others on this machine."""
    task = {"type": "worker", "index": index}
    environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    # Each worker would start a thread for every core of the machine.
    threads = max(1, usable_cores() // len(addresses))
    environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
    # TensorFlow would look for the others through http_proxy, and wait for ever.
    direct = environ.get("no_grpc_proxy") or environ.get("no_proxy")
    environ["no_grpc_proxy"] = f"{direct},{_HOST}" if direct else _HOST


def _set_progress(
    environ: dict[str, str], index: int, terminal_size: os.terminal_size | None
) -> None:
    """One worker draws the bar: all of them see the same progress."""
    if index > 0:
        environ["KERASCALE_PROGRESS"] = "off"
    elif terminal_size is not None:
        environ.setdefault("KERASCALE_PROGRESS", "bar")
        # Its standard error is a pipe, which has no size.
        environ["COLUMNS"] = str(terminal_size.columns)
        environ["LINES"] = str(terminal_size.lines)


def visible_gpus(
    environ: Mapping[str, str], devices: pathlib.Path = pathlib.Path("/dev")
) -> list[str]:
    """The NVIDIA GPUs that TensorFlow would see, by the names that CUDA takes.

    Args:
        environ: Environment variables.
        devices: The folder of device files.
    """
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        # As CUDA reads it: up to the first that cannot exist, such as -1.
        names = (name.strip() for name in chosen.split(","))
        return list(itertools.takewhile(lambda name: re.match(r"\w", name), names))
    found = [path for path in devices.glob("nvidia*") if path.name[6:].isdecimal()]
    # A container may have nvidia3 alone, which CUDA counts as 0.
    return [str(number) for number in range(len(found))]


def free_ports(number: int) -> list[int]:
    """Ports that nothing uses now, each another one.

    TensorFlow's server listens on every interface, so they are free on all.
    """
    with contextlib.ExitStack() as opened:
        servers = [opened.enter_context(socket.socket()) for _ in range(number)]
        for server in servers:
            server.bind(("", 0))
        return [server.getsockname()[1] for server in servers]
