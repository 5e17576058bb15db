"""What is between the workers of a benchmark: this host alone, or two made of it.

Two network namespaces, joined by a pair of virtual interfaces, have nothing but that
network: what a worker sends goes through TCP, as between two hosts. Memory and `/proc`
are still those of one host, so that kerascale would sum through shared memory: it is
told not to.
"""

import argparse
import itertools
import json
import os
import shutil
import socket
import subprocess
import types
from collections.abc import Mapping, Sequence
from typing import Self

from .contenders import FailedError

DEFAULT = "loopback"
_NAMESPACES = "namespaces"
_INTERFACE = "eth0"
# Below those that a system gives away by itself.
_FIRST_PORT = 20_000
# What may leave at once, and how long something may wait: as the limit is hit, TCP
# shall slow down, and not lose half of what it sends.
_LIMIT = ("burst", "256kb", "latency", "50ms")


class Loopback:
    """Workers that reach each other by 127.0.0.1.

    A network is there within its context.
    """

    # For the table; and of each worker's environment.
    title = ""
    variables: Mapping[str, str] = types.MappingProxyType({})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def address(self, worker: int) -> str:
        """Of the host of a worker."""
        return "127.0.0.1"

    def ports(self, number: int) -> list[int]:
        """Ports that nobody has."""
        servers = [socket.socket() for _ in range(number)]
        for server in servers:
            server.bind(("127.0.0.1", 0))
        found = [server.getsockname()[1] for server in servers]
        for server in servers:
            server.close()
        return found

    def command(self, worker: int, command: Sequence[str]) -> list[str]:
        """A command, as it is started for a worker."""
        return list(command)


class Namespaces(Loopback):
    """A network namespace for each of two workers.

    Args:
        rate: What each of them sends at most, as `tc` writes it; None: no limit.
    """

    def __init__(self, rate: str | None = None) -> None:
        self._names = [f"kerascale-{os.getpid()}-{i}" for i in range(2)]
        self._ports = itertools.count(_FIRST_PORT)
        self._rate = rate
        limit = f", {rate} each way" if rate else ""
        self.title = (
            f"in two network namespaces joined by veth{limit}; kerascale with "
            "KERASCALE_ALL_REDUCE=tensorflow"
        )
        addresses = ",".join(self.address(i) for i in range(2))
        self.variables = {
            "KERASCALE_ALL_REDUCE": "tensorflow",
            "no_grpc_proxy": addresses,
            "GLOO_SOCKET_IFNAME": _INTERFACE,
        }

    def address(self, worker: int) -> str:
        return f"10.77.0.{worker + 1}"

    def ports(self, number: int) -> list[int]:
        return list(itertools.islice(self._ports, number))

    def command(self, worker: int, command: Sequence[str]) -> list[str]:
        # It becomes the command: the process is the one that is started.
        return ["ip", "netns", "exec", self._names[worker], *command]

    def __enter__(self) -> Self:
        """Makes them.

        Raises:
            FailedError: Where they cannot be had.
        """
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise FailedError(
                "network namespaces: expected root and iproute2 (ip). Received: user "
                f"{os.geteuid()}, ip at {shutil.which('ip')}. Run as root, or measure "
                "without --network."
            )
        try:
            self._make()
        except FailedError:
            self._remove()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._remove()

    def _make(self) -> None:
        first, second = self._names
        for name in self._names:
            _call("ip", "netns", "add", name)
        cable = f"link add {_INTERFACE} netns {first} type veth".split()
        _call("ip", *cable, "peer", "name", _INTERFACE, "netns", second)
        for worker, name in enumerate(self._names):
            own = ("ip", "-n", name)
            _call(*own, "addr", "add", f"{self.address(worker)}/24", "dev", _INTERFACE)
            for interface in ("lo", _INTERFACE):
                _call(*own, "link", "set", interface, "up")
            if self._rate is not None:
                limit = ("root", "tbf", "rate", self._rate, *_LIMIT)
                _call("tc", "-n", name, "qdisc", "add", "dev", _INTERFACE, *limit)

    def _remove(self) -> None:
        # What there is of them; their interfaces go with them.
        for name in self._names:
            subprocess.run(
                ["ip", "netns", "del", name], capture_output=True, check=False
            )


def parse(text: str) -> Loopback:
    """The network of a name: `loopback`, `namespaces` or `namespaces:RATE`.

    Raises:
        argparse.ArgumentTypeError: If there is none of that name.
    """
    name, _, rate = text.partition(":")
    if text == DEFAULT:
        return Loopback()
    if name == _NAMESPACES:
        return Namespaces(rate or None)
    raise argparse.ArgumentTypeError(
        f"expected {DEFAULT}, {_NAMESPACES} or {_NAMESPACES}:1gbit. Received: {text!r}"
    )


def places(network: Loopback, workers: int) -> list[dict[str, str]]:
    """What tells each worker its place, for all frameworks."""
    ports = network.ports(workers)
    hosts = [network.address(worker) for worker in range(workers)]
    addresses = [f"{host}:{port}" for host, port in zip(hosts, ports, strict=True)]
    return [
        {
            **network.variables,
            "WORLD_SIZE": str(workers),
            "RANK": str(index),
            "MASTER_ADDR": hosts[0],
            "MASTER_PORT": str(ports[0]),
            "TF_CONFIG": json.dumps(
                {
                    "cluster": {"worker": addresses},
                    "task": {"type": "worker", "index": index},
                }
            ),
        }
        for index in range(workers)
    ]


def _call(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise FailedError(f"network namespaces: {error}") from error
    if done.returncode:
        raise FailedError(
            f"network namespaces: {' '.join(command)}: {done.stderr.strip()}"
        )
