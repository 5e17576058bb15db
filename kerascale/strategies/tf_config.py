"""The cluster that TF_CONFIG describes, checked before TensorFlow reads it.

TensorFlow answers a wrong TF_CONFIG with a traceback, or waits for a peer that
never comes. Here every problem is named at once, in one line each.
"""

import collections
import dataclasses
import json
import os
import re
import socket
import time
from collections.abc import Mapping
from typing import Any

from kerascale.errors import RefusedError
from kerascale.strategies.slurm import step as slurm_step

_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
# In the order of ranks: tf.distribute counts the chief as the first worker.
_JOBS = ("chief", "worker")
# A name or an IPv4 address, or an IPv6 address in brackets.
_ADDRESS = re.compile(
    r"(?P<host>[^\s:/@\[\]]+|\[[0-9a-fA-F:.]+(%\w+)?\]):(?P<port>[0-9]{1,5})"
)
_RETRY_SECONDS = 0.5
# How long names may have no address.
PATIENCE_SECONDS = 5.0
# Between two looks whether the chief listens, and how long TensorFlow is not begun.
_KNOCK_SECONDS = 0.02
_CHIEF_SECONDS = 300.0


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers that train together, and which of them this process is.

    Args:
        workers: Their addresses (`host:port`) in the order of their ranks. A
            `chief` of TF_CONFIG comes first.
        index: The rank of this process.
    """

    workers: tuple[str, ...]
    index: int

    @property
    def num_workers(self) -> int:
        return len(self.workers)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's files: the worker of rank 0."""
        return self.index == 0

    @property
    def name(self) -> str:
        """This process in a message. Ranks count from 0, as in TF_CONFIG."""
        name = f"worker {self.index} of {self.num_workers}"
        return f"{name} (the chief)" if self.is_chief else name

    @property
    def address(self) -> str:
        return self.workers[self.index]


def from_environment(environ: Mapping[str, str] = os.environ) -> Cluster | None:
    """Reads TF_CONFIG.

    Args:
        environ: Environment variables.

    Returns:
        The cluster; None if TF_CONFIG is not set or is empty.

    Raises:
        RefusedError: Naming every problem in it.
    """
    text = environ.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(
            f"expected JSON, such as {_EXAMPLE}. Received: {_short(text)} ({error})"
        ) from error
    if not isinstance(content, dict):
        raise _refused(
            f"expected a JSON object, such as {_EXAMPLE}. Received: {_short(content)}"
        )
    jobs, problems = _read_jobs(content.get("cluster"))
    index, task_problems = _read_task(content.get("task"), jobs)
    if problems or task_problems:
        raise _refused(*problems, *task_problems)
    return Cluster(tuple(address for job in jobs.values() for address in job), index)


def is_chief(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process writes the run's files: the chief, or no cluster at all.

    Args:
        environ: Environment variables.

    Raises:
        RefusedError: If TF_CONFIG, or what Slurm says, is wrong.
    """
    cluster = from_environment(environ)
    if cluster is not None:
        return cluster.is_chief
    step = slurm_step.read(environ)
    return step is None or step.rank == 0


def refuse_unreachable(
    cluster: Cluster, *, patience_seconds: float = PATIENCE_SECONDS
) -> None:
    """Refuses a cluster in which this worker could not take its place.

    A cluster of one worker opens no port and is not checked.

    Args:
        cluster: The cluster.
        patience_seconds: How long to ask for names that are not known yet: those
            of pods that start together appear one after the other.

    Raises:
        RefusedError: Naming every host that has no address, and the own port if
            it is taken.
    """
    if cluster.num_workers == 1:
        return
    hosts: dict[str, str] = {}
    for worker in cluster.workers:
        hosts.setdefault(_split(worker)[0], worker)
    unknown = _unresolved(hosts, patience_seconds)
    problems = [
        f"cluster: expected hosts that have an address. Received: {hosts[host]} "
        f"({why}). Mend the name, or start that host"
        for host, why in unknown.items()
    ]
    problems += _port_problems(cluster)
    if problems:
        raise _refused(*problems)


def reach_directly(cluster: Cluster) -> None:
    """Lets gRPC ask no proxy for the way to the others: it would wait for ever."""
    hosts = {address.rpartition(":")[0] for address in cluster.workers}
    os.environ.setdefault("no_grpc_proxy", ",".join(sorted(hosts)))


def wait_for_chief(
    cluster: Cluster, *, patience_seconds: float = _CHIEF_SECONDS
) -> None:
    """Returns when the chief's server listens, to any worker but the chief.

    Where TensorFlow's own first connection is refused, it waits for a second until the
    next one, and all workers with it.

    Args:
        cluster: The cluster.
        patience_seconds: Afterwards it is left to TensorFlow to wait.
    """
    if cluster.is_chief:
        return
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        try:
            address = _split(cluster.workers[0])
            socket.create_connection(address, timeout=_RETRY_SECONDS).close()
            return
        except OSError:
            time.sleep(_KNOCK_SECONDS)


def _read_jobs(cluster: Any) -> tuple[dict[str, list[str]], list[str]]:
    """Job -> addresses in the order of ranks, and what is wrong with them."""
    if not isinstance(cluster, dict) or not cluster:
        received = "nothing" if cluster is None else _short(cluster)
        return {}, [
            "cluster: expected an object with the addresses of the workers, such as "
            f"{_EXAMPLE}. Received: {received}"
        ]
    problems = [
        f"cluster: expected the jobs chief and worker. Received: {_short(job)}"
        f"{_why_not(job)}"
        for job in cluster
        if job not in _JOBS
    ]
    jobs = {}
    for job in _JOBS:
        if job not in cluster:
            continue
        addresses = cluster[job]
        if not isinstance(addresses, list) or not addresses:
            problems.append(
                f"cluster.{job}: expected a list of host:port. "
                f"Received: {_short(addresses)}"
            )
            addresses = []
        jobs[job] = addresses
        problems += [
            f"cluster.{job}[{i}]: {problem}"
            for i, address in enumerate(addresses)
            for problem in _address_problems(address)
        ]
    if len(jobs.get("chief", [])) > 1:
        problems.append(
            f"cluster.chief: expected one address. Received: {len(jobs['chief'])}. "
            "List the others under worker"
        )
    return jobs, problems + _duplicates(jobs)


def _why_not(job: str) -> str:
    reasons = {
        "ps": ". Parameter servers are not supported: every worker holds the weights",
        "evaluator": ". The chief evaluates; leave the evaluator out",
        "master": ". Name it chief",
    }
    return reasons.get(job, "")


def _address_problems(address: Any) -> list[str]:
    match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if match is None:
        return [f"expected host:port. Received: {_short(address)}"]
    if not 1 <= int(match["port"]) <= 65535:
        return [f"expected a port from 1 to 65535. Received: {_short(address)}"]
    return []


def _duplicates(jobs: Mapping[str, list[Any]]) -> list[str]:
    count = collections.Counter(
        address.lower()
        for addresses in jobs.values()
        for address in addresses
        if isinstance(address, str)
    )
    return [
        f"cluster: expected an address of its own for each worker. Received: "
        f"{_short(address)} {number} times"
        for address, number in count.items()
        if number > 1
    ]


def _read_task(task: Any, jobs: Mapping[str, list[Any]]) -> tuple[int, list[str]]:
    """The rank of this process, and what is wrong with the task."""
    if not isinstance(task, dict):
        received = "nothing" if task is None else _short(task)
        return 0, [
            'task: expected an object such as {"type": "worker", "index": 0}. '
            f"Received: {received}"
        ]
    problems = []
    job, index = task.get("type"), task.get("index")
    known = isinstance(job, str) and job in (jobs or _JOBS)
    if not known:
        received = "nothing" if job is None else _short(job)
        problems.append(
            f"task.type: expected a job of the cluster ({', '.join(jobs or _JOBS)}). "
            f"Received: {received}"
        )
    addresses = jobs.get(job, []) if known else []
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        received = "nothing" if index is None else _short(index)
        problems.append(
            f"task.index: expected an integer from 0 up. Received: {received}"
        )
    elif addresses and index >= len(addresses):
        problems.append(
            f"task.index: expected less than {len(addresses)}, the number of "
            f"addresses of {job}. Received: {_short(index)}"
        )
    if problems:
        return 0, problems
    # The ranks of multi_worker_util.id_in_cluster: the workers follow the chief.
    return index + (len(jobs.get("chief", [])) if job == "worker" else 0), []


def _unresolved(hosts: Mapping[str, str], patience_seconds: float) -> dict[str, str]:
    """Host -> why it has no address, for those that have none to the end."""
    waiting = dict.fromkeys(hosts, "")
    deadline = time.monotonic() + patience_seconds
    while True:
        for host in list(waiting):
            try:
                socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                del waiting[host]
            except OSError as error:
                waiting[host] = error.strerror or str(error)
            except UnicodeError:  # Longer than a name can be.
                waiting[host] = "no name of a host"
        if not waiting or time.monotonic() >= deadline:
            return waiting
        time.sleep(_RETRY_SECONDS)


def _port_problems(cluster: Cluster) -> list[str]:
    port = _split(cluster.address)[1]
    # As TensorFlow's server does: on every interface, whatever the own name is.
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("", port))
        except OSError as error:
            return [
                f"port {port}: expected a port that is free on this host, for "
                f"{cluster.name} at {cluster.address}. Received: one that cannot be "
                f"opened ({error.strerror}). Stop what uses it, or take another port"
            ]
    return []


def _split(address: str) -> tuple[str, int]:
    match = _ADDRESS.fullmatch(address)
    return match["host"].strip("[]"), int(match["port"])


def _short(value: Any) -> str:
    """A value on one line, cut where it becomes unreadable."""
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value)
    except RecursionError:
        return "a value nested too deeply"
    return text if len(text) <= 200 else f"{text[:200]}..."


def _refused(*problems: str) -> RefusedError:
    if len(problems) == 1:
        return RefusedError(f"TF_CONFIG: {problems[0]}.")
    return RefusedError([f"{problem}." for problem in problems], heading="TF_CONFIG")
