"""TF Serving's protocol buffers, as far as an export writes or reads them.

They are declared here, because the package that has them, tensorflow-serving-api,
requires a TensorFlow of its own. What counts on the wire is the number and the type of
a field, and in a text the field's name; both are those of TF Serving
(tensorflow_serving/apis/*.proto, config/model_server_config.proto). Messages of
TensorFlow itself, such as TensorProto, stand as the bytes that they are on the wire.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "kerascale.serving"
_Field = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
}

# Message -> field -> (number, type, whether there may be several). A field's name may
# begin with the name of the `oneof` that it is a part of.
_MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    # What a model is warmed up with: model_spec.version is left out, as it would name
    # the version that is to be warmed up.
    "ModelSpec": {"name": (1, "string", False), "signature_name": (3, "string", False)},
    "PredictRequest.InputsEntry": {
        "key": (1, "string", False),
        "value": (2, "bytes", False),
    },
    "PredictRequest": {
        "model_spec": (1, "ModelSpec", False),
        "inputs": (2, "PredictRequest.InputsEntry", True),
    },
    "ExampleList": {"examples": (1, "bytes", True)},
    "Input": {"kind:example_list": (1, "ExampleList", False)},
    "ClassificationRequest": {
        "model_spec": (1, "ModelSpec", False),
        "input": (2, "Input", False),
    },
    "PredictLog": {"request": (1, "PredictRequest", False)},
    "ClassifyLog": {"request": (1, "ClassificationRequest", False)},
    "PredictionLog": {
        "log_type:classify_log": (2, "ClassifyLog", False),
        "log_type:predict_log": (6, "PredictLog", False),
    },
    # models.config
    "Latest": {"num_versions": (1, "uint32", False)},
    "All": {},
    "Specific": {"versions": (1, "int64", True)},
    "ServableVersionPolicy": {
        "policy_choice:latest": (100, "Latest", False),
        "policy_choice:all": (101, "All", False),
        "policy_choice:specific": (102, "Specific", False),
    },
    "ModelConfig.VersionLabelsEntry": {
        "key": (1, "string", False),
        "value": (2, "int64", False),
    },
    "ModelConfig": {
        "name": (1, "string", False),
        "base_path": (2, "string", False),
        "model_platform": (4, "string", False),
        "model_version_policy": (7, "ServableVersionPolicy", False),
        "version_labels": (8, "ModelConfig.VersionLabelsEntry", True),
    },
    "ModelConfigList": {"config": (1, "ModelConfig", True)},
    "ModelServerConfig": {"config:model_config_list": (1, "ModelConfigList", False)},
}


def _classes() -> Mapping[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="kerascale_serving.proto", package=_PACKAGE, syntax="proto3"
    )
    declared: dict[str, Any] = {}
    # The entries of a map are declared inside the message that has the map.
    for name in sorted(_MESSAGES, key=lambda name: name.count(".")):
        outer, _, inner = name.rpartition(".")
        if outer:
            message = declared[outer].nested_type.add(name=inner)
            message.options.map_entry = True
        else:
            message = declared[name] = file.message_type.add(name=name)
        for field, (number, kind, repeated) in _MESSAGES[name].items():
            _add_field(message, field, number, kind, repeated)
    # A pool of its own, so that tensorflow-serving-api can be loaded beside it.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
        )
        for name in declared
    }


def _add_field(message: Any, name: str, number: int, kind: str, repeated: bool) -> None:
    group, _, name = name.rpartition(":")
    field = message.field.add(
        name=name,
        number=number,
        label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
    )
    if kind in _TYPES:
        field.type = _TYPES[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    if group:
        if group not in [oneof.name for oneof in message.oneof_decl]:
            message.oneof_decl.add(name=group)
        field.oneof_index = len(message.oneof_decl) - 1


_CLASSES = _classes()
PredictionLog = _CLASSES["PredictionLog"]
ModelServerConfig = _CLASSES["ModelServerConfig"]
