"""The state of a federation between two rounds: `federated.npz` in its run folder."""

import json
import pathlib
from typing import Any

import numpy as np

from kerascale.errors import DamagedRunError
from kerascale.runs import layout
from kerascale.runtime import atomic_files
from kerascale.trust.federated.averaging import Server

_TEXTS = (layout.HISTORY, layout.METRICS)


def write(
    folder: pathlib.Path, server: Server, done: int, callbacks: list[dict[str, Any]]
) -> None:
    """Keeps what the next round depends on, whole or not at all.

    Args:
        folder: The run folder.
        server: Weights and moments.
        done: Rounds that are.
        callbacks: What they remember.
    """
    texts = {
        name: (folder / name).read_text(encoding="utf-8")
        for name in _TEXTS
        if (folder / name).is_file()
    }
    head = {"rounds": done, "callbacks": callbacks, "files": texts}
    arrays = {f"w/{n}": v for n, v in server.weights.items()}
    arrays |= {f"o/{n}": v for n, v in server.moments.items()}
    arrays = {name.replace("/", "|"): value for name, value in arrays.items()}
    head_array = np.frombuffer(json.dumps(head).encode(), np.uint8)
    with atomic_files.replacing(folder / layout.FEDERATION_STATE, durable=True) as file:
        with file.open("wb") as opened:
            np.savez(opened, head=head_array, **arrays)


def read(
    folder: pathlib.Path, server: Server
) -> tuple[int, list[dict[str, Any]]] | None:
    """Puts back what was kept, into the server and into files that grow.

    Returns:
        Rounds that are done, and what callbacks remember; None: nothing was kept.

    Raises:
        DamagedRunError: If it cannot be read.
    """
    path = folder / layout.FEDERATION_STATE
    if not path.is_file():
        for name in _TEXTS:
            (folder / name).unlink(missing_ok=True)
        return None
    try:
        with np.load(path, allow_pickle=False) as content:
            head = json.loads(content["head"].tobytes())
            arrays = {
                name.replace("|", "/"): content[name]
                for name in content.files
                if name != "head"
            }
    except Exception as error:
        raise DamagedRunError(
            f"{path}: expected the state of a federation. Received: {error}. Train "
            "anew, in another folder."
        ) from error
    server.weights.update({n[2:]: v for n, v in arrays.items() if n.startswith("w/")})
    server.moments.update({n[2:]: v for n, v in arrays.items() if n.startswith("o/")})
    for name in _TEXTS:
        text = head["files"].get(name)
        if text is None:
            (folder / name).unlink(missing_ok=True)
        else:
            (folder / name).write_text(text, encoding="utf-8")
    return head["rounds"], head["callbacks"]
