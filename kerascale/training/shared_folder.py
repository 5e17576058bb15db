"""A run folder that several processes write into: all of them must see the same one."""

import os
import pathlib
import socket
import time
import uuid

import tensorflow as tf

from kerascale.engine.collectives import consensus
from kerascale.errors import RefusedError
from kerascale.runs import layout
from kerascale.runs.folder import RunFolder
from kerascale.strategies import mesh_peers

# As long as a network filesystem may take to show what another host has written.
_PATIENCE = 10.0
_PROBE = ".shared-"


def find(strategy: tf.distribute.Strategy, folder: RunFolder | None) -> str:
    """The run folder's path, at which this process sees it. All call it.

    Args:
        strategy: That of processes which share a mesh.
        folder: The folder, held by the chief; None on another worker.

    Raises:
        RefusedError: On every worker, if one does not see the folder there.
    """
    probe = None

    def make() -> str:
        nonlocal probe
        path = pathlib.Path(os.path.abspath(folder.path))
        probe = path / layout.CHECKPOINTS / f"{_PROBE}{uuid.uuid4().hex}"
        probe.touch()
        return f"{path}\n{probe.name}"

    try:
        where, _, name = consensus.from_chief(strategy, make).partition("\n")
        own = _problem(pathlib.Path(where), name)
        problems = [text for text in consensus.texts(strategy, own) if text]
    finally:
        if probe is not None:
            probe.unlink(missing_ok=True)
    if problems:
        raise RefusedError(
            f"run_dir: expected a folder that all processes see. Received: {where}, "
            f"which is not there for {', '.join(problems)}. The model is cut over the "
            "processes, and each writes its part of a checkpoint. Name a folder on a "
            "file system that all hosts have at the same place: --run-dir"
        )
    return where if folder is None else str(folder.path)


def _problem(folder: pathlib.Path, name: str) -> str:
    until = time.monotonic() + _PATIENCE
    while not (folder / layout.CHECKPOINTS / name).exists():
        if time.monotonic() > until:
            return f"process {mesh_peers.here().index} on {socket.gethostname()}"
        time.sleep(0.1)
    return ""
