"""What a run folder knows that belongs on a card."""

import dataclasses
import json
import pathlib
from typing import Any

from kerascale.errors import RefusedError
from kerascale.runs import files, layout


@dataclasses.dataclass(frozen=True)
class Facts:
    """Of one run.

    Args:
        path: The run folder.
        config: Its `config.json`.
        evaluation: Its final evaluation.
        history: Metric -> one value for each epoch.
        audit: What `kerascale audit` wrote; None: it was not run. So all that follow.
        attack: What `kerascale attack` wrote.
        privacy: What private training wrote.
        explanation: What `kerascale explain` wrote.
        energy: What was measured in training.
    """

    path: pathlib.Path
    config: dict[str, Any]
    evaluation: dict[str, Any]
    history: dict[str, list[float]]
    audit: dict[str, Any] | None
    attack: dict[str, Any] | None
    privacy: dict[str, Any] | None
    explanation: dict[str, Any] | None
    energy: dict[str, Any] | None

    @property
    def data(self) -> dict[str, Any]:
        return self.config["data"]

    @property
    def task(self) -> str:
        """The task's name in the Hugging Face format."""
        kind = self.data.get("kind")
        if kind == "corpus":
            return "text-generation"
        prefix = {"image": "image", "text": "text"}.get(kind, "tabular")
        if self.data.get("task") != "regression":
            return f"{prefix}-classification"
        return "tabular-regression" if prefix == "tabular" else "other"

    @property
    def data_name(self) -> str:
        """What the data is called, without the folders of somebody's machine."""
        return without_folders(self.data["name"])

    @property
    def split(self) -> str:
        return str(self.evaluation.get("split", "test"))


def without_folders(name: str) -> str:
    """`csv:/home/me/loans.csv` as `csv:loans.csv`: cards are for others to read."""
    prefix, colon, path = name.rpartition(":")
    return prefix + colon + pathlib.PurePath(path).name


def read(path: pathlib.Path) -> Facts:
    """Reads a run folder.

    Raises:
        RefusedError: If it is no finished run's, or a file of it is damaged.
    """
    config = files.read_config(path)
    evaluation = files.read_json(path, layout.EVALUATION)
    return Facts(
        path,
        config,
        evaluation,
        files.read_history(path / layout.HISTORY),
        *(
            _optional(path, name)
            for name in (
                layout.AUDIT,
                "attack.json",
                "privacy.json",
                layout.EXPLANATION,
                layout.ENERGY,
            )
        ),
    )


def _optional(path: pathlib.Path, name: str) -> dict[str, Any] | None:
    file = path / name
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RefusedError(
            f"card: {file} is damaged ({error}). Run the command again that wrote it."
        ) from error
    return content if isinstance(content, dict) else None
