"""Layers that show what they were given and what came out, while a step is traced.

A tapped layer computes what it did. Where somebody collects, its products are watched
by the step's tape, so that the gradient of each example's own is known.
"""

import contextlib
import dataclasses
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.step.collector import Collector
from kerascale.engine.step.private.rules import Rule

# An attribute of a layer: its rule.
_RULE = "_kerascale_rule"


@dataclasses.dataclass(frozen=True)
class Tap:
    """One call of a layer.

    Args:
        layer: That was called.
        rule: The formula of its gradients.
        given: What the rule needs of the inputs; the first axis is that of examples.
        products: What depends directly on its variables: the outputs in front of the
            activation.
    """

    layer: keras.layers.Layer
    rule: Rule
    given: tf.Tensor
    products: tf.Tensor


@dataclasses.dataclass
class Box:
    """Calls, and the tape that watches their products.

    Args:
        tape: Of the step.
        taps: In the order of the calls.
    """

    tape: tf.GradientTape | None = None
    taps: list[Tap] = dataclasses.field(default_factory=list)


_open: Collector[Box] = Collector(Box)


def collecting() -> contextlib.AbstractContextManager[Box]:
    """Within it, in this thread, calls of tapped layers are put into the box."""
    return _open.collecting()


class _Tapped:
    """Put in front of the class of a layer that has a rule."""

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        box, rule = _open.box, vars(self).get(_RULE)
        if box is None or box.tape is None or rule is None:
            return super().call(inputs, *args, **kwargs)
        given, products = rule.products(self, inputs)
        box.tape.watch(products)
        box.taps.append(Tap(self, rule, given, products))
        return rule.finish(self, products)


def install(layer: keras.layers.Layer, rule: Rule) -> None:
    """Taps a layer; it keeps its class's name."""
    keras_private.adopt_class(layer, _Tapped)
    # Past Keras' own __setattr__, which would track it.
    vars(layer)[_RULE] = rule


def remove(layer: keras.layers.Layer) -> None:
    """From now on it does what it did."""
    vars(layer).pop(_RULE, None)
