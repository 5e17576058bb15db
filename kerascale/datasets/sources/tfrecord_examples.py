"""Reads one `tf.train.Example`: its values as they should be, or what is wrong."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.label_checks import label_out_of_range

FeatureType = Literal["image", "text", "float", "int64"]
# tf.train.Feature's own field for each type.
_LISTS = {
    "image": "bytes_list",
    "text": "bytes_list",
    "float": "float_list",
    "int64": "int64_list",
}
_ITEMS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


class ExampleError(ValueError):
    """An example is not as it should be. The message says what was expected."""


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature of an example.

    Args:
        name: Its name in `tf.train.Example`.
        type: `image` is an encoded picture, `text` is UTF-8; both are one bytes item.
        shape: Shape of numbers; () for one item.
    """

    name: str
    type: FeatureType
    shape: tuple[int, ...] = ()


def parse(content: bytes) -> Mapping[str, Any]:
    """The features of a serialised `tf.train.Example`, by name.

    Raises:
        ExampleError: If it is none.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        return tf.train.Example.FromString(content).features.feature
    except DecodeError as error:
        raise ExampleError(
            f"expected a tf.train.Example. Received: {len(content)} bytes that are none"
        ) from error


def found(feature: Any) -> tuple[str | None, int]:
    """Which list of a `tf.train.Feature` is filled, and how many items it has."""
    kind = feature.WhichOneof("kind")
    return kind, 0 if kind is None else len(getattr(feature, kind).value)


def in_words(items: Mapping[str, tuple[str | None, int]]) -> str:
    """What `found` says of each feature, for a message."""
    return ", ".join(
        f"{name!r}: {_ITEMS.get(kind, 'nothing')}[{count}]"
        for name, (kind, count) in list(items.items())[:20]
    )


def label_of(
    features: Mapping[str, Any], name: str, source: str, num_classes: int | None
) -> int:
    """The label of an example.

    Args:
        features: Of `parse`.
        name: The label's name.
        source: Who says that it is there, for messages.
        num_classes: It must be below, if that is given.

    Raises:
        ExampleError: If it is missing, or out of range.
    """
    label = int(_items(features, Feature(name, "int64"), source)[0])
    if num_classes is not None and not 0 <= label < num_classes:
        raise ExampleError(label_out_of_range(label, num_classes))
    if label < 0:
        raise ExampleError(f"expected a label of 0 or more. Received: {label}")
    return label


def value_of(features: Mapping[str, Any], feature: Feature, source: str) -> Any:
    """The value of a feature.

    Args:
        features: Of `parse`.
        feature: What is expected.
        source: Who says so, for messages.

    Returns:
        bytes of an image, `str` of a text; else an array of the feature's shape, of
        float32 or int64.

    Raises:
        ExampleError: If it is not there, of another type or length, or not finite.
    """
    items = _items(features, feature, source)
    if feature.type == "image":
        return items[0]
    if feature.type == "text":
        return _text(feature.name, items[0])
    array = np.array(items, np.float32 if feature.type == "float" else np.int64)
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise ExampleError(
            f"expected finite numbers in {feature.name!r}. Received: {array[bad[0]]} "
            f"at place {bad[0]}"
        )
    return array.reshape(feature.shape)


def _text(name: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ExampleError(f"expected UTF-8 in {name!r}. Received: {error}") from error
    if not text.strip():
        raise ExampleError(f"expected text in {name!r}. Received: {text!r}")
    return text


def _items(features: Mapping[str, Any], feature: Feature, source: str) -> Sequence[Any]:
    wanted = (_LISTS[feature.type], math.prod(feature.shape))
    expected = f"expected {in_words({feature.name: wanted})}, as {source} has it"
    # Not by features[name] alone, which would add what is not there.
    if feature.name not in features:
        names = listing(sorted(features))
        raise ExampleError(f"{expected}. Received: the features {names}")
    received = found(features[feature.name])
    if received != wanted:
        words = in_words({feature.name: received})
        raise ExampleError(f"{expected}. Received: {words}")
    return getattr(features[feature.name], wanted[0]).value
