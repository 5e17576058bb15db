"""Slurm's short lists: `gpu[8-10,12],login1` and `2(x3),1`."""

import itertools
import re

# A list in brackets, or what stands between two of them.
_PART = re.compile(r"\[([^\]]*)\]|([^\[\]]+)")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
_TASKS = re.compile(r"(\d+)(?:\(x(\d+)\))?")
# What no cluster has, so that a damaged list does not fill the memory.
_MOST_NODES = 100_000


def nodes(text: str) -> list[str]:
    """The names in a list of nodes, in Slurm's order, which is that of the ranks.

    Args:
        text: As in `SLURM_STEP_NODELIST`.

    Raises:
        ValueError: If it is no such list.
    """
    names = [name for entry in _entries(text) for name in _expanded(entry)]
    if not names or len(names) > _MOST_NODES:
        raise ValueError(f"expected names of nodes, such as gpu[8-10,12]: {text!r}")
    return names


def tasks(text: str) -> list[int]:
    """The number of tasks on each node.

    Args:
        text: As in `SLURM_STEP_TASKS_PER_NODE`.

    Raises:
        ValueError: If it is no such list.
    """
    counts: list[int] = []
    for entry in text.split(","):
        match = _TASKS.fullmatch(entry.strip())
        times = int(match[2] or 1) if match else 0
        if match is None or len(counts) + times > _MOST_NODES:
            raise ValueError(f"expected numbers of tasks, such as 2(x3),1: {text!r}")
        counts += [int(match[1])] * times
    return counts


def _entries(text: str) -> list[str]:
    """What is between the commas that are in no brackets."""
    found = re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+", text.strip())
    if ",".join(found) != text.strip():
        raise ValueError(f"expected names of nodes, such as gpu[8-10,12]: {text!r}")
    return found


def _expanded(entry: str) -> list[str]:
    choices = []
    for inside, plain in _PART.findall(entry):
        choices.append([plain] if plain else _numbers(inside))
    return ["".join(parts) for parts in itertools.product(*choices)]


def _numbers(text: str) -> list[str]:
    found = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"expected numbers, such as 8-10,12: {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first > _MOST_NODES:
            raise ValueError(f"expected numbers, such as 8-10,12: {text!r}")
        width = len(match[1])
        found += [f"{number:0{width}}" for number in range(first, last + 1)]
    return found
