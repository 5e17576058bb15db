"""Which layers of two models look at the same."""

import keras

from kerascale.compression import named_layers
from kerascale.errors import RefusedError
from kerascale.layers import SelfAttention
from kerascale.models import CNN


def alike(student: keras.Model, teacher: keras.Model) -> list[tuple[str, str]]:
    """Names of layers of both that look at the same: for `distill_attention auto`.

    Attention layers: the i-th of m learns from the one of n that is as deep, i n / m.
    Of two `CNN` with as many stages, the last block of each stage.

    Raises:
        RefusedError: If there are none.
    """
    ours, theirs = (_attention(model) for model in (student, teacher))
    if ours and theirs:
        share = len(theirs) / len(ours)
        return [
            (name, theirs[max(0, round((i + 1) * share) - 1)])
            for i, name in enumerate(ours)
        ]
    both = (student, teacher)
    if all(isinstance(model, CNN) for model in both):
        stages = [_stages(model) for model in both]
        if len(stages[0]) == len(stages[1]):
            return list(zip(*stages, strict=True))
    raise RefusedError(
        "distill_attention auto: expected two Transformers, or two CNN of as many "
        f"stages. Received: {type(student).__name__} and {type(teacher).__name__}. "
        "Name layers of the student and of the teacher, as in conv_1:conv_2."
    )


def _attention(model: keras.Model) -> list[str]:
    paths = named_layers.paths(model)
    return [path for path, layer in paths.items() if isinstance(layer, SelfAttention)]


def _stages(model: CNN) -> list[str]:
    """The path of the last block of each stage."""
    each = model.blocks_per_stage
    return [model.blocks[i].name for i in range(each - 1, len(model.blocks), each)]
