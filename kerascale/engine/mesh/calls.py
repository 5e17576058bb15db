"""Calls of layers that a program is traced with in place of their own."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

Call = Callable[..., Any]


@contextlib.contextmanager
def wrapped(
    wrappers: Iterable[tuple[keras.layers.Layer, Callable[[Call], Call]]],
) -> Iterator[None]:
    """Within it layers have other calls.

    Args:
        wrappers: A layer, and what makes the other call of the one that it has. A
            layer may come again: the later call is around the earlier one.
    """
    before = []
    try:
        for layer, wrap in wrappers:
            before.append((layer, vars(layer).get("call")))
            # An attribute of the instance, which Keras finds before that of its class.
            vars(layer)["call"] = wrap(layer.call)
        yield
    finally:
        for layer, own in reversed(before):
            if own is None:
                del vars(layer)["call"]
            else:
                vars(layer)["call"] = own
