"""Layouts of the models that kerascale ships, along the axis `model` of a mesh.

Of two products in a row the first is cut by columns and the second by rows, so that
what lies between them is never put together, and one sum over the axis is sent for
both: [Shoeybi et al., 2019](https://arxiv.org/abs/1909.08053).
"""

from collections.abc import Sequence

from kerascale.strategies.layouts.rules import Cut, Rule
from kerascale.strategies.mesh import MODEL

_COLUMNS: Cut = (None, MODEL)
_ROWS: Cut = (MODEL, None)
_BIAS: Cut = (MODEL,)
_WHOLE: Cut = ()

# What has few numbers, in every model.
_SMALL = {
    r"(^|/)(normalization|output_scaling|target_scale)[^/]*/[^/]+$": [_WHOLE],
    r"norm[^/]*/(gamma|beta|moving_mean|moving_variance)$": [_WHOLE],
    r"/(batch_normalization|layer_normalization)[^/]*/[^/]+$": [_WHOLE],
    r"/member[^/]*/[^/]+$": [_WHOLE],
}

# By classes where they are enough, else by what is left: there may be few of them.
_HEAD = {
    r"/logits/kernel$": [_COLUMNS, _ROWS, _WHOLE],
    r"/logits/bias$": [_BIAS, _WHOLE],
    r"/logits/[^/]+$": [_WHOLE],
}
# Behind a layer that was cut by columns.
_HEAD_OF_ROWS = {
    r"/logits/kernel$": [_ROWS, _WHOLE],
    r"/logits/[^/]+$": [_WHOLE],
}

_TRANSFORMER = {
    # Token ids, by vocabulary; a character set may be of any size.
    r"/embedding/embeddings$": [_ROWS, _COLUMNS],
    # Patches and rows of an image, or numbers: a small product.
    r"/embedding/(kernel|bias)$": [_WHOLE],
    r"/position/embeddings$": [_WHOLE],
    r"/query_key_value/kernel$": [_COLUMNS],
    r"/query_key_value/bias$": [_BIAS],
    r"/attention_output/kernel$": [_ROWS],
    r"/attention_output/bias$": [_WHOLE],
    r"/hidden/kernel$": [_COLUMNS],
    r"/hidden/bias$": [_BIAS],
    r"/feedforward_output/kernel$": [_ROWS],
    r"/feedforward_output/bias$": [_WHOLE],
    **_HEAD,
    **_SMALL,
}

_MLP = {
    # Layers 0, 2, ... by columns, 1, 3, ... by rows.
    r"/hidden_\d*[02468]/kernel$": [_COLUMNS],
    r"/hidden_\d*[02468]/bias$": [_BIAS],
    r"/hidden_\d*[13579]/kernel$": [_ROWS],
    r"/hidden_\d*[13579]/bias$": [_WHOLE],
    **_HEAD_OF_ROWS,
    **_SMALL,
}

_CNN = {
    r"/first/kernel$": [(None, None, None, MODEL)],
    r"/first/bias$": [_BIAS],
    r"/second/kernel$": [(None, None, MODEL, None)],
    r"/second/bias$": [_WHOLE],
    r"/(shortcut|stem)[^/]*/[^/]+$": [_WHOLE],
    r"/dense/kernel$": [_COLUMNS],
    r"/dense/bias$": [_BIAS],
    **_HEAD_OF_ROWS,
    **_SMALL,
}

_RNN = {
    r"/embedding/embeddings$": [_ROWS, _COLUMNS],
    # All gates of a unit lie in columns.
    r"_cell/(kernel|recurrent_kernel)$": [_COLUMNS],
    # Of a GRU with a row for each of its two biases.
    r"_cell/bias$": [_BIAS, _COLUMNS],
    **_HEAD_OF_ROWS,
    **_SMALL,
}

_SHIPPED = {
    "MLP": _MLP,
    "CNN": _CNN,
    "RNN": _RNN,
    "Transformer": _TRANSFORMER,
    "CausalTransformer": _TRANSFORMER,
}


def shipped_for(class_names: Sequence[str]) -> list[Rule] | None:
    """The rules of a model of kerascale; None: it is none.

    Args:
        class_names: Of its class, and of the classes that this is derived of.
    """
    name = next((name for name in class_names if name in _SHIPPED), None)
    if name is None:
        return None
    return [Rule(key, tuple(cuts), True) for key, cuts in _SHIPPED[name].items()]


# The models that there is a layout for.
NAMES = tuple(_SHIPPED)
