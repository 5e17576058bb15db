"""Nests of tensors in which a member may be absent: None."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def map_present(function: Callable[..., Any], nest: Any, *others: Any) -> Any:
    """What `tf.nest.map_structure` gives, with None where `nest` has None."""

    def present(leaf: Any, *rest: Any) -> Any:
        return None if leaf is None else function(leaf, *rest)

    return tf.nest.map_structure(present, nest, *others)


def flat(nest: Any) -> list[Any]:
    """The members that are there, in order."""
    return [leaf for leaf in tf.nest.flatten(nest) if leaf is not None]
