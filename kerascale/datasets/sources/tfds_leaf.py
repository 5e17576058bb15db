"""One feature of a TFDS data set: where it stands, and what it holds."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import tensorflow_datasets as tfds

Form = Literal[
    "image", "text", "word", "class", "number", "numbers", "classes", "other"
]
# One value for each example, which a cell of a table can hold.
SCALARS: tuple[Form, ...] = ("number", "class", "word")


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A feature that holds no others.

    Args:
        keys: Those of the dictionaries that it stands in, and its own.
        feature: That of TFDS.
    """

    keys: tuple[str, ...]
    feature: tfds.features.FeatureConnector

    @property
    def name(self) -> str:
        """As `tfds.as_dataframe` has it: `features/alcohol`."""
        return "/".join(self.keys)

    @property
    def form(self) -> Form:
        """What it holds: `numbers` are of a fixed shape, `classes` any of several."""
        feature = self.feature
        if isinstance(feature, tfds.features.Image):
            return "image"
        if isinstance(feature, tfds.features.Text):
            return "text"
        if isinstance(feature, tfds.features.ClassLabel):
            return "class"
        is_sequence = isinstance(feature, tfds.features.Sequence)
        inner = feature.feature if is_sequence else feature
        if isinstance(inner, tfds.features.ClassLabel):
            return "classes"
        if not isinstance(inner, tfds.features.Tensor):
            return "other"
        kind = np.dtype(feature.np_dtype).kind
        if feature.shape == ():
            return "word" if kind == "O" else "number"
        return "numbers" if kind in "iufb" and None not in feature.shape else "other"

    @property
    def is_one_number(self) -> bool:
        """Whether it is an array of a single number."""
        return self.form == "numbers" and self.feature.shape == (1,)

    def of(self, example: Mapping[str, Any]) -> Any:
        """Its value in an example."""
        for key in self.keys:
            example = example[key]
        return example


def leaves_of(feature: Any, keys: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """The features in a dictionary of features, and in those within it."""
    if isinstance(feature, tfds.features.FeaturesDict):
        # As TFDS flattens them: what was stored has no order of its own.
        for key, inner in sorted(feature.items()):
            yield from leaves_of(inner, (*keys, key))
    elif keys:
        yield Leaf(keys, feature)


def under(leaves: Mapping[str, Leaf], name: str) -> tuple[Leaf, ...]:
    """The feature of a name, or all of a dictionary of features."""
    if name in leaves:
        return (leaves[name],)
    return tuple(leaf for own, leaf in leaves.items() if own.startswith(f"{name}/"))
