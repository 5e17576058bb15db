"""Where an export comes from, as an in-toto statement with SLSA's predicate.

The predicate (https://slsa.dev/provenance/v1) says what it was made of and how; the
statement (https://in-toto.io/Statement/v1) says of which files. It is a claim until it
is signed.
"""

import datetime
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from kerascale._version import __version__
from kerascale.runs import layout

FILE = "provenance.json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://slsa.dev/provenance/v1"
_PIECE = 2**20
# What an export is made of.
_OF_THE_RUN = (layout.MODEL, layout.CONFIG, layout.EVALUATION, layout.VECTORIZER)


def of_run(path: pathlib.Path) -> dict[str, Any]:
    """The sha256 of the files of a run that an export is made of, and of its parent.

    Args:
        path: The run folder.

    Returns:
        `files`: name -> sha256; `parent`: the file that its weights began with, `name`
        and `sha256`, or None.
    """
    files = {
        name: sha256_of(path / name) for name in _OF_THE_RUN if (path / name).is_file()
    }
    parent = None
    try:
        config = json.loads((path / layout.CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    if config.get("init_from"):
        parent = {"name": config["init_from"], "sha256": config.get("init_sha256")}
    return {
        "files": files,
        "parent": parent,
        "git_revision": config.get("git_revision"),
    }


def sha256_of(file: pathlib.Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    found = hashlib.sha256()
    with open(file, "rb") as content:
        while piece := content.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def statement(
    origin: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The statement.

    Args:
        origin: Where the version comes from: `recipe`, `fields`, `data`, `run`,
            `run_files`; of a plain model nothing is known.
        files: Name -> `sha256`, of each file of the version.
    """
    known = origin.get("run_files") or {}
    materials = [
        _material(f"run/{name}", sha256)
        for name, sha256 in (known.get("files") or {}).items()
    ]
    data = origin.get("data") or {}
    if data.get("fingerprint"):
        # Over all examples and labels as they are read, not over a file.
        materials.append(_material(f"data/{data['name']}", data["fingerprint"]))
    parent = known.get("parent") or {}
    if parent.get("sha256"):
        materials.append(_material(f"parent/{parent['name']}", parent["sha256"]))
    external = {n: origin[n] for n in ("recipe", "fields") if n in origin}
    internal = {}
    if known.get("git_revision"):
        internal["git_revision"] = known["git_revision"]
    return {
        "_type": _STATEMENT,
        "subject": [
            {"name": name, "digest": {"sha256": found["sha256"]}}
            for name, found in files.items()
        ],
        "predicateType": _PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:kerascale:export:1",
                "externalParameters": external,
                "internalParameters": internal,
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": {
                    "id": "urn:kerascale",
                    "version": {"kerascale": __version__},
                },
                "metadata": {
                    "finishedOn": datetime.datetime.now(datetime.UTC).isoformat(
                        timespec="seconds"
                    )
                },
            },
        },
    }


def _material(name: str, sha256: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha256}}
