"""The files beside the versions that a server is started with.

`models.config` says which versions are served, and which of them a label stands for;
TensorFlow Serving reads it anew while it runs. The other two are written once, and are
whoever serves the model to change.
"""

import dataclasses
import pathlib
import re
from typing import Any

from google.protobuf import text_format

from kerascale.errors import RefusedError
from kerascale.runtime import atomic_files
from kerascale.serving.messages import ModelServerConfig

MODELS = "models.config"
BATCHING = "batching_parameters.txt"
MONITORING = "monitoring.config"

_BATCHING = """\
# --enable_batching --batching_parameters_file=...: how requests that come at the same
# time are put into one batch. Requests to models with free dimensions besides the batch
# meet only where they have one shape: padding is left off, because the server pads with
# a tensor's first value, which a model would read.
max_batch_size { value: 32 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 4 }
pad_variable_length_inputs: false
"""
_MONITORING = """\
# --monitoring_config_file=...: the server's counters for Prometheus, on the REST port.
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """What `models.config` says.

    Args:
        name: The model's name in requests.
        base_path: Where the server finds the versions: an absolute path, by default
            the one that TF Serving's container image has for models.
        labels: Label -> version.
        policy: Which versions are served, if somebody has said so; else those with a
            label.
        platform: What kind of server loads it.
    """

    name: str
    base_path: str
    labels: dict[str, int]
    policy: Any = None
    platform: str = "tensorflow"


def default(base: pathlib.Path) -> ModelFile:
    """What a folder's `models.config` says that has none yet."""
    name = re.sub(r"\W", "_", base.resolve().name) or "model"
    return ModelFile(name, f"/models/{name}", {})


def read(base: pathlib.Path) -> ModelFile | None:
    """Reads `models.config`; None if there is none.

    Raises:
        RefusedError: If it is not that of one model.
    """
    file = base / MODELS
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeError) as error:
        raise _wrong(file, str(error)) from error
    config = ModelServerConfig()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise _wrong(file, str(error)) from error
    models = config.model_config_list.config
    if len(models) != 1 or not models[0].name or not models[0].base_path:
        raise _wrong(file, f"{len(models)} models, or one without name or base_path")
    (model,) = models
    kind = model.model_version_policy.WhichOneof("policy_choice")
    return ModelFile(
        model.name,
        model.base_path,
        dict(model.version_labels),
        model.model_version_policy if kind in ("latest", "all") else None,
        model.model_platform or "tensorflow",
    )


def _wrong(file: pathlib.Path, received: str) -> RefusedError:
    return RefusedError(
        f"{file}: expected a ModelServerConfig of one model with name, base_path and "
        f"version_labels. Received: {received:.300}. Mend it, or remove it: it is "
        "written anew."
    )


def write(base: pathlib.Path, content: ModelFile) -> None:
    """Writes `models.config` in one step, and the other files where there are none.

    Args:
        base: The folder of the versions.
        content: What it is to say.
    """
    config = ModelServerConfig()
    model = config.model_config_list.config.add(
        name=content.name,
        base_path=content.base_path,
        model_platform=content.platform,
    )
    if content.policy is not None:
        model.model_version_policy.CopyFrom(content.policy)
    else:
        served = sorted(set(content.labels.values()))
        model.model_version_policy.specific.versions.extend(served)
    for label, version in content.labels.items():
        model.version_labels[label] = version
    _replace(base / MODELS, text_format.MessageToString(config))
    for name, text in ((BATCHING, _BATCHING), (MONITORING, _MONITORING)):
        if not (base / name).exists():
            _replace(base / name, text)


def _replace(file: pathlib.Path, text: str) -> None:
    with atomic_files.replacing(file, durable=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
