"""The text files that TF Serving reads, as far as this server heeds them.

`models.config` (ModelServerConfig), `batching_parameters.txt` (BatchingParameters) and
`monitoring.config` (MonitoringConfig). Their messages are declared here, since the
package that has them requires a TensorFlow of its own; a text needs names and types,
the numbers of the fields are arbitrary.
"""

import functools
import pathlib
from collections.abc import Iterator
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)

from kerascale.errors import RefusedError

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _Field.TYPE_STRING,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "double": _Field.TYPE_DOUBLE,
    "bool": _Field.TYPE_BOOL,
}
# Message -> field -> type; a star: there may be several.
_MESSAGES = {
    "Int64Value": {"value": "int64"},
    "DoubleValue": {"value": "double"},
    "StringValue": {"value": "string"},
    "BoolValue": {"value": "bool"},
    "BatchingParameters": {
        "max_batch_size": "Int64Value",
        "batch_timeout_micros": "Int64Value",
        "max_enqueued_batches": "Int64Value",
        "num_batch_threads": "Int64Value",
        "thread_pool_name": "StringValue",
        "allowed_batch_sizes": "int64*",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": "BoolValue",
        "max_execution_batch_size": "Int64Value",
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": "PrometheusConfig"},
    "Latest": {"num_versions": "uint32"},
    "All": {},
    "Specific": {"versions": "int64*"},
    "VersionPolicy": {"latest": "Latest", "all": "All", "specific": "Specific"},
    "Label": {"key": "string", "value": "int64"},
    "Sampling": {"sampling_rate": "double"},
    "Collector": {"type": "string", "filename_prefix": "string"},
    "Logging": {
        "log_collector_config": "Collector",
        "sampling_config": "Sampling",
    },
    "ModelConfig": {
        "name": "string",
        "base_path": "string",
        "model_type": "int64",
        "model_platform": "string",
        "model_version_policy": "VersionPolicy",
        "version_labels": "Label*",
        "logging_config": "Logging",
        "logging_configs": "Logging*",
    },
    "ModelConfigList": {"config": "ModelConfig*"},
    "ModelServerConfig": {"model_config_list": "ModelConfigList"},
}


def read_text(path: pathlib.Path, name: str) -> Any | None:
    """The message of a file; None if there is no file.

    Args:
        path: The file.
        name: The message's name, such as `BatchingParameters`.

    Raises:
        RefusedError: If the file cannot be read.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        raise RefusedError(f"{path}: cannot be read ({error}).") from error
    try:
        return text_format.Parse(text, _classes()[name]())
    except text_format.ParseError as error:
        raise RefusedError(
            f"{path}: expected the text of a {name}. Received: {error}."
        ) from error


@functools.cache
def _classes() -> dict[str, Any]:
    package = "kerascale.serving.server"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package)
    file.message_type.extend(_descriptors(package))
    # A pool of its own: nothing here can be in the way of TensorFlow's messages.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{package}.{name}")
        )
        for name in _MESSAGES
    }


def _descriptors(package: str) -> Iterator[descriptor_pb2.DescriptorProto]:
    for name, fields in _MESSAGES.items():
        message = descriptor_pb2.DescriptorProto(name=name)
        for number, (field, type_) in enumerate(fields.items(), start=1):
            several, type_ = type_.endswith("*"), type_.rstrip("*")
            label = _Field.LABEL_REPEATED if several else _Field.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if type_ in _SCALARS:
                added.type = _SCALARS[type_]
            else:
                added.type = _Field.TYPE_MESSAGE
                added.type_name = f".{package}.{type_}"
        yield message
