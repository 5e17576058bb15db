"""Layers inside of a model, by their paths."""

import keras

from kerascale.config.fields import nearest
from kerascale.engine.compat import keras_private


def find(
    model: keras.Model, name: str, field: str, whose: str, problems: list[str]
) -> keras.layers.Layer | None:
    """The layer of a model that has a name.

    Args:
        model: Built.
        name: Of a layer, or the end of its path.
        field: Whose value it is.
        whose: Which model it is, in words.
        problems: Gets a message if there is no such layer, or more than one.
    """
    known = paths(model)
    found = [path for path in known if path == name or path.endswith(f"/{name}")]
    if name in known:
        found = [name]
    if len(found) == 1:
        return known[found[0]]
    if found:
        problems.append(
            f"{field}: expected one layer of {whose}. Received: {name!r}, which "
            f"{', '.join(found)} are called. Give more of the path"
        )
    else:
        shown = ", ".join(list(known)[:40])
        problems.append(
            f"{field}: expected a layer of {whose}: {shown}. Received: "
            f"{name!r}.{nearest(name, list(known))}"
        )
    return None


def paths(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Path below the model -> layer."""
    found: dict[str, keras.layers.Layer] = {}

    def visit(layer: keras.layers.Layer, above: str) -> None:
        for inner in keras_private.direct_layers(layer):
            path = f"{above}{inner.name}"
            if path not in found:
                found[path] = inner
                visit(inner, f"{path}/")

    visit(model, "")
    return found
