"""Which versions of a model are to be loaded, and what they are called."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from kerascale.errors import RefusedError
from kerascale.serving.server.text_files import read_text

MODELS_FILE = "models.config"


@dataclasses.dataclass(frozen=True)
class Policy:
    """A model's part of `models.config`.

    Args:
        latest: How many of the latest versions are loaded; 0: all of them.
        specific: The versions that are loaded; empty: `latest` decides.
        labels: Label -> version, which is loaded besides.
    """

    latest: int = 1
    specific: frozenset[int] = frozenset()
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def wanted(self, loadable: Iterable[int]) -> set[int]:
        """The versions to be loaded, of those that can be."""
        numbers = sorted(loadable)
        if self.specific:
            chosen = self.specific.intersection(numbers)
        else:
            chosen = set(numbers[-self.latest :] if self.latest else numbers)
        return chosen | set(self.labels.values()).intersection(numbers)


def configured_names(folder: pathlib.Path) -> list[str]:
    """Names of the models in a folder's `models.config`; empty if it has none.

    Raises:
        RefusedError: If the file cannot be read.
    """
    return [config.name for config in _configs(folder)]


def read_policy(folders: Iterable[pathlib.Path], name: str) -> Policy:
    """What `models.config` says of a model, in the first folder that has the file.

    Raises:
        RefusedError: If the file cannot be read, or does not have the model.
    """
    for folder in folders:
        configs = _configs(folder)
        if configs:
            found = [config for config in configs if config.name == name]
            if not found:
                raise RefusedError(
                    f"{folder / MODELS_FILE}: expected a config with name: {name!r}. "
                    f"Received: {', '.join(config.name for config in configs)}. Give "
                    "its name with --model-name, or add it to the file."
                )
            return _policy(found[0])
    return Policy()


def _configs(folder: pathlib.Path) -> list[Any]:
    message = read_text(folder / MODELS_FILE, "ModelServerConfig")
    return [] if message is None else list(message.model_config_list.config)


def _policy(config: Any) -> Policy:
    policy = config.model_version_policy
    labels = {label.key: label.value for label in config.version_labels}
    if policy.HasField("specific"):
        return Policy(specific=frozenset(policy.specific.versions), labels=labels)
    if policy.HasField("all"):
        return Policy(latest=0, labels=labels)
    return Policy(latest=policy.latest.num_versions or 1, labels=labels)
