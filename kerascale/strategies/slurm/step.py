"""What Slurm's variables say of the step that this process is a task of."""

import dataclasses
import os
import socket
from collections.abc import Mapping

from kerascale.errors import RefusedError
from kerascale.strategies.slurm import node_list

_NODES = "SLURM_STEP_NODELIST"
_TASKS = "SLURM_STEP_TASKS_PER_NODE"
_NODE = "SLURM_NODEID"
_LOCAL = "SLURM_LOCALID"


@dataclasses.dataclass(frozen=True)
class Step:
    """A step of several tasks, each a worker.

    Ranks count the tasks of the first node, then those of the second: they do not
    depend on how `srun --distribution` numbers its tasks.

    Args:
        name: Job and step, such as `17.0`; unique in the cluster.
        nodes: Their names, in Slurm's order.
        tasks: How many each of them has.
        node: Place of this process's node in them.
        local: Place of this process among the tasks of its node.
    """

    name: str
    nodes: tuple[str, ...]
    tasks: tuple[int, ...]
    node: int
    local: int

    @property
    def num_workers(self) -> int:
        return sum(self.tasks)

    @property
    def rank(self) -> int:
        return sum(self.tasks[: self.node]) + self.local

    def node_of(self, rank: int) -> str:
        """The name of the node that a worker runs on."""
        owners = [n for n, count in zip(self.nodes, self.tasks, strict=True)
                  for _ in range(count)]  # fmt: skip
        return owners[rank]


def read(environ: Mapping[str, str] = os.environ) -> Step | None:
    """The step, if Slurm started this process as one of several tasks.

    Returns:
        None outside of Slurm, in the script of a batch job, and in a step of one task.

    Raises:
        RefusedError: Naming every variable that is wrong.
    """
    if not environ.get("SLURM_STEP_ID", "").isdecimal():
        return None
    if environ.get("SLURM_STEP_NUM_TASKS", "1") == "1":
        return None
    problems: list[str] = []
    found: dict[str, tuple] = {}
    for name, parse in ((_NODES, node_list.nodes), (_TASKS, node_list.tasks)):
        try:
            found[name] = tuple(parse(environ.get(name, "")))
        except ValueError as error:
            problems.append(f"{name}: {error}")
    places = {}
    for name in (_NODE, _LOCAL):
        text = environ.get(name, "")
        if not text.isdecimal():
            problems.append(f"{name}: expected an integer from 0. Received: {text!r}")
        else:
            places[name] = int(text)
    if not problems:
        nodes, tasks = found[_NODES], found[_TASKS]
        problems = _contradictions(environ, nodes, tasks, places[_NODE], places[_LOCAL])
    if problems:
        problems = [
            f"{problem}. Start the processes with srun." for problem in problems
        ]
        raise RefusedError(problems, heading="Slurm")
    name = f"{environ.get('SLURM_JOB_ID', '0')}.{environ['SLURM_STEP_ID']}"
    restarts = environ.get("SLURM_RESTART_COUNT", "0")
    return Step(f"{name}.{restarts}", nodes, tasks, places[_NODE], places[_LOCAL])


def _contradictions(
    environ: Mapping[str, str],
    nodes: tuple[str, ...],
    tasks: tuple[int, ...],
    node: int,
    local: int,
) -> list[str]:
    problems = []
    if len(nodes) != len(tasks):
        problems.append(
            f"{_TASKS}: expected one for each of the {len(nodes)} nodes of {_NODES}. "
            f"Received: {len(tasks)}"
        )
    count = environ["SLURM_STEP_NUM_TASKS"]
    if str(sum(tasks)) != count:
        problems.append(f"{_TASKS}: expected {count} in all. Received: {sum(tasks)}")
    if not node < len(nodes):
        problems.append(f"{_NODE}: expected less than {len(nodes)}. Received: {node}")
    elif not local < tasks[min(node, len(tasks) - 1)]:
        problems.append(
            f"{_LOCAL}: expected less than {tasks[node]}. Received: {local}"
        )
    else:
        own = environ.get("SLURMD_NODENAME") or socket.gethostname()
        if own != nodes[node] and own.partition(".")[0] != nodes[node]:
            problems.append(
                f"{_NODES}: expected this host, {own}, at place {node}. Received: "
                f"{nodes[node]}"
            )
    return problems
