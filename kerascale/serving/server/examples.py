"""classify and regress: `tf.Example`s in, labels and scores or values out."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerascale.serving.server.documents import format_error, text_of, type_of
from kerascale.serving.server.outputs import dump
from kerascale.serving.server.status import StatusError, invalid
from kerascale.serving.server.tensors import decode_base64, encode_text, is_base64

CLASSIFY, REGRESS, PREDICT = (
    f"tensorflow/serving/{method}" for method in ("classify", "regress", "predict")
)
# What TensorFlow calls the tensors of such signatures.
INPUTS = "inputs"
_CLASSES, _SCORES, _VALUES = "classes", "scores", "outputs"
_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


def read_examples(document: dict[str, Any]) -> np.ndarray:
    """The serialized examples of a request, each with the features of its context.

    Raises:
        StatusError: If there are none, or one has a feature that cannot be.
    """
    context = None
    if "context" in document:
        context = _example(document["context"])
    if "examples" not in document:
        raise format_error(
            document,
            "When method is classify, key 'examples' is expected and was not found",
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise format_error(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise format_error(document, "'examples' value is an empty array")
    array = np.empty(len(examples), np.object_)
    for number, value in enumerate(examples):
        example = _example(value)
        if context is not None:
            example.MergeFrom(context)
        array[number] = example.SerializeToString()
    return array


def write_classes(arrays: Mapping[str, np.ndarray], examples: int) -> bytes:
    """`[label, score]` for each class of each example.

    Raises:
        StatusError: If the signature's outputs are not those of a classification.
    """
    labels, scores = arrays.get(_CLASSES), arrays.get(_SCORES)
    if labels is None and scores is None:
        raise StatusError(
            "FAILED_PRECONDITION",
            "Expected classification signature outputs to contain at least one of "
            f'"{_CLASSES}" or "{_SCORES}". Signature has: {", ".join(sorted(arrays))}',
        )
    for name, array, kind in ((_CLASSES, labels, "O"), (_SCORES, scores, "f")):
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid(
                "Expected Tensor shape: [batch_size num_classes] but got "
                f"{_shape(array)}"
            )
        if array.dtype.kind != kind or (kind == "f" and array.dtype != np.float32):
            expected = "DT_STRING" if kind == "O" else "DT_FLOAT"
            raise invalid(
                f"Expected {name} Tensor of {expected}. Got: {array.dtype.name}"
            )
        if len(array) != examples:
            raise invalid(
                f"Expected {name} output batch size of {examples}. Got: {len(array)}"
            )
    if labels is None:
        labels = np.full(scores.shape, b"", np.object_)
    if scores is None:
        scores = np.zeros(labels.shape, np.float32)
    if labels.shape != scores.shape:
        raise invalid(
            "Tensors class and score should match in dim_size(1). Got "
            f"{labels.shape[1]} vs. {scores.shape[1]}"
        )
    results = [
        [
            [label.decode("utf-8", "replace"), score]
            for label, score in zip(*row, strict=True)
        ]
        for row in zip(labels.tolist(), scores, strict=True)
    ]
    return dump({"results": results}, finite=bool(np.isfinite(scores).all()))


def write_values(arrays: Mapping[str, np.ndarray], examples: int) -> bytes:
    """A number for each example.

    Raises:
        StatusError: If the signature's output is not that of a regression.
    """
    values = arrays.get(_VALUES)
    if values is None or len(arrays) != 1:
        raise StatusError(
            "FAILED_PRECONDITION",
            f"No regression outputs found in SignatureDef: {', '.join(sorted(arrays))}",
        )
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            f"but got {_shape(values)}"
        )
    if len(values) != examples:
        raise invalid(
            f"Input batch size did not match output batch size: {examples} vs. "
            f"{len(values)}"
        )
    if values.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {values.dtype.name}")
    finite = bool(np.isfinite(values).all())
    return dump({"results": np.ascontiguousarray(values.reshape(-1))}, finite=finite)


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _example(value: Any) -> Any:
    import tensorflow as tf

    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_of(value)}")
    example = tf.train.Example()
    for name, content in value.items():
        encode_text(name)
        feature = example.features.feature[name]
        for element in content if isinstance(content, list) else [content]:
            _add(element, name, feature)
    return example


def _add(value: Any, name: str, feature: Any) -> None:
    """Adds an element to a feature, which has elements of one kind."""
    if value is None or isinstance(value, list) or _is_object(value):
        raise invalid(
            f"Feature: {name} has element with unexpected JSON type: {type_of(value)}"
        )
    if isinstance(value, str):
        kind, element = "bytes_list", encode_text(value)
    elif isinstance(value, dict):
        kind, element = "bytes_list", decode_base64(value)
    elif isinstance(value, float):
        kind, element = "float_list", _float32(value)
    else:
        kind, element = "int64_list", int(value)
    before = feature.WhichOneof("kind")
    if before not in (None, kind):
        raise invalid(
            f"Unexpected element type in feature: {name} expecting type: "
            f"{_KINDS[before]}"
        )
    if kind == "int64_list" and not -(2**63) <= element < 2**63:
        raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
    getattr(feature, kind).value.append(element)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _float32(value: float) -> float:
    if abs(value) > _LARGEST_FLOAT and abs(value) != float("inf"):
        raise invalid(
            f"Cannot convert JSON value: {text_of(value)} to float without loss of "
            "precision."
        )
    return value
