"""What the examples of TFRecord files consist of, told by a file or by one of them."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from kerascale.config.fields import nearest
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.tfrecord_examples import Feature, found, in_words
from kerascale.errors import RefusedError

SCHEMA = "schema.json"
_TYPES = ("image", "text", "float", "int64")
_KEYS = ("label", "features", "class_names", "records")
_LABEL = "label"
_IMAGES = ("image", "image/encoded")
_TEXT = "text"
_FORM = (
    '{"features": {"x": {"type": "float", "shape": [4]}}}, where type is image, text, '
    "float or int64"
)


@dataclasses.dataclass(frozen=True)
class Schema:
    """What every example must consist of.

    Args:
        features: One image, one text, or one or more features of numbers.
        source: Where it comes from, for messages.
        label: Name of the label, one int64.
        target: Of a regression, or of several labels: the feature of that name as
            numbers of any count; None: it is one int64.
        class_names: Name of each class, by label.
        records: File name -> number of its records, where that is known.
    """

    features: tuple[Feature, ...]
    source: str
    label: str = _LABEL
    target: Feature | None = None
    class_names: tuple[str, ...] | None = None
    records: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def kind(self) -> str:
        """`image`, `text` or `numbers`."""
        kind = self.features[0].type
        return kind if kind in ("image", "text") else "numbers"

    def feature_names(self) -> tuple[str, ...]:
        """A name for each number, where an example is a row of them."""
        if self.kind != "numbers" or len(self.features) < 2:
            return ()
        names = []
        for feature in self.features:
            size = math.prod(feature.shape)
            several = [f"{feature.name}[{i}]" for i in range(size)]
            names += several if feature.shape else [feature.name]
        return tuple(names)


def infer(
    features: Mapping[str, Any], place: str, *, takes_targets: bool = False
) -> tuple[Schema, list[str]]:
    """The schema of which an example is.

    Args:
        features: Of `tfrecord_examples.parse`.
        place: The file and the record, for messages.
        takes_targets: Whether the label may be floats, or several numbers.

    Returns:
        The schema, and the names that it leaves out.

    Raises:
        RefusedError: If there is no label, or nothing to learn from.
    """
    items = {name: found(features[name]) for name in sorted(features)}
    names = in_words(items) or "none"
    target = _target(items.get(_LABEL)) if takes_targets else None
    if target is None and items.get(_LABEL) != ("int64_list", 1):
        raise RefusedError(
            f"{place}: expected the feature 'label', one int64. Received: {names}. "
            f"If it has another name, write {SCHEMA} beside the files: "
            '{"label": NAME, ...}.'
        )
    chosen = _choose(items)
    if not chosen:
        raise RefusedError(
            f"{place}: expected a feature 'image' or 'text', or numbers. Received: "
            f"{names}. If they have other names, write {SCHEMA} beside the files: "
            f"{_FORM}."
        )
    taken = {_LABEL, *(feature.name for feature in chosen)}
    ignored = [name for name in items if name not in taken]
    return Schema(chosen, source=place, target=target), ignored


def _target(item: tuple[str | None, int] | None) -> Feature | None:
    """A label of floats, or of several numbers; None: it is another one."""
    kind, count = item or (None, 0)
    if not count or (kind, count) == ("int64_list", 1) or kind not in _NUMBERS:
        return None
    return Feature(_LABEL, _NUMBERS[kind], (count,))


_NUMBERS = {"float_list": "float", "int64_list": "int64"}


def _choose(items: Mapping[str, tuple[str | None, int]]) -> tuple[Feature, ...]:
    for name in _IMAGES:
        if items.get(name) == ("bytes_list", 1):
            return (Feature(name, "image"),)
    if items.get(_TEXT) == ("bytes_list", 1):
        return (Feature(_TEXT, "text"),)
    types = {"float_list": "float", "int64_list": "int64"}
    return tuple(
        Feature(name, types[kind], () if count == 1 else (count,))
        for name, (kind, count) in items.items()
        if name != _LABEL and kind in types and count
    )


def read(path: str) -> Schema:
    """Reads a schema that somebody has written.

    Args:
        path: A JSON file with `features`, and perhaps `label`, `class_names` and
            `records`.

    Raises:
        RefusedError: With everything that is wrong with it.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise RefusedError(
            f"{path}: expected JSON: {_FORM}. Received: what cannot be read ({error})."
        ) from error
    if not isinstance(content, dict):
        raise RefusedError(f"{path}: expected {_FORM}. Received: {content!r:.80}.")
    problems = [
        f"{path}: {key}: expected one of {listing(_KEYS)}. Received: {key!r}."
        f"{nearest(key, _KEYS)}"
        for key in content
        if key not in _KEYS
    ]
    label, target = content.get("label", _LABEL), None
    if isinstance(label, dict) and isinstance(label.get("name"), str):
        own = {n: v for n, v in label.items() if n != "name"}
        (target,) = _read_features(path, {label["name"]: own}, problems) or (None,)
        label = label["name"]
        if target is not None and target.type in ("image", "text"):
            problems.append(
                f"{path}: label: expected the type float or int64. Received: "
                f"{target.type}"
            )
    elif not isinstance(label, str):
        problems.append(
            f"{path}: label: expected a name, or name, type and shape. Received: "
            f"{label!r:.80}"
        )
    names = content.get("class_names")
    if names is not None and not _is_list_of_names(names):
        problems.append(
            f"{path}: class_names: expected a list of names. Received: {names!r:.80}"
        )
    records = content.get("records", {})
    if not isinstance(records, dict) or not all(map(_is_count, records.values())):
        problems.append(
            f"{path}: records: expected the number of records of each file, by its "
            f"name. Received: {records!r:.80}"
        )
    features = _read_features(path, content.get("features"), problems)
    if problems:
        raise RefusedError(problems, heading=f"{path} cannot be used")
    names = None if names is None else tuple(names)
    return Schema(features, path, label, target, names, records)


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _read_features(path: str, content: Any, problems: list[str]) -> tuple[Feature, ...]:
    if not isinstance(content, dict) or not content:
        problems.append(f"{path}: expected {_FORM}. Received: {content!r:.80}")
        return ()
    features = []
    for name, value in content.items():
        value = value if isinstance(value, dict) else {"type": value}
        shape = value.get("shape", [])
        if (
            value.get("type") not in _TYPES
            or set(value) - {"type", "shape"}
            or not isinstance(shape, list)
            or not all(map(_is_count, shape))
        ):
            problems.append(
                f"{path}: features: {name}: expected a type of {listing(_TYPES)} and "
                f"perhaps a shape. Received: {content[name]!r:.80}"
            )
            continue
        features.append(Feature(name, value["type"], tuple(shape)))
    alone = [f for f in features if f.type in ("image", "text") or len(f.shape) > 1]
    if alone and len(features) > 1:
        problems.append(
            f"{path}: features: expected one image, one text, one array, or several "
            f"features of numbers in a row. Received: {listing(content)}"
        )
    return tuple(features)
