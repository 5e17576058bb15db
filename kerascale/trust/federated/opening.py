"""The run folder of a federation: a new one, or that of the same federation."""

import os
import pathlib
from typing import Any

from kerascale.config.fields import to_dict
from kerascale.config.recipes import Recipe
from kerascale.errors import RefusedError
from kerascale.runs import files, layout
from kerascale.runs.folder import RunFolder
from kerascale.trust.federated.client import Clients


def opened(
    run_dir: str | os.PathLike | None, recipe: Recipe, config: Any, own: Clients
) -> RunFolder:
    """The folder, held by this process.

    Raises:
        RefusedError: If it cannot be had, or holds something else.
    """
    path = None if run_dir is None else pathlib.Path(run_dir)
    if path is None or not (path / layout.CONFIG).is_file():
        return RunFolder(path, recipe.name)
    folder = RunFolder(path, recipe.name, existing=True)
    try:
        _refuse_other(path, recipe, config, own)
    except BaseException:
        folder.close()
        raise
    return folder


def _refuse_other(
    path: pathlib.Path, recipe: Recipe, config: Any, own: Clients
) -> None:
    if not (path / layout.FEDERATION).is_file():
        raise RefusedError(
            "run_dir: expected a new folder, or that of a federation. Received: "
            f"{path}, which holds another run."
        )
    before = files.read_json(path, layout.CONFIG)
    federation = files.read_json(path, layout.FEDERATION)["federation"]
    # More rounds go on where it ended.
    federation.pop("rounds")
    now = own.federation.facts()
    problems = _differences(federation, {n: now[n] for n in now if n != "rounds"})
    fields = {n: v for n, v in to_dict(config).items() if n != "epochs"}
    problems += _differences(before["fields"], fields)
    fingerprint = (before.get("data") or {}).get("fingerprint")
    problems += _differences(
        {"recipe": before.get("recipe"), "data": fingerprint},
        {"recipe": recipe.source, "data": own.datasets.info.fingerprint},
    )
    if problems:
        raise RefusedError(
            [*problems, "Or name another folder with --run-dir"],
            heading=f"{path} holds another federation",
        )


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f"{name}: expected {before.get(name)!r}, as in the run. Received: {value!r}"
        for name, value in now.items()
        if _plain(before.get(name)) != _plain(value)
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
