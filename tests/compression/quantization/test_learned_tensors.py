"""Tensors of a converted model are found by what is in them."""

import numpy as np
import pytest

from kerascale.compression.formats import learned_tensors
from kerascale.compression.formats.learned_tensors import JoinedError, Learned
from kerascale.errors import ExportRefusedError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(4, 6, 6, 3)).astype("float32")
VECTORS = RANDOM.normal(size=(4, 108)).astype("float32")


def _learned(**more):
    ranges = {"conv outputs": (-1.0, 2.0), "dense outputs": (0.0, 4.0)}
    seen = {"conv outputs": IMAGES, "dense outputs": VECTORS, **more}
    return Learned({**ranges, **{n: (-1.0, 1.0) for n in more}}, seen, {})


def test_ranges_go_where_the_numbers_are():
    noise = 1 + 1e-6 * RANDOM.normal(size=IMAGES.shape).astype("float32")
    tensors = {
        "as it is": IMAGES * noise,
        "in another shape": IMAGES.reshape(4, -1),
        "channels first": np.moveaxis(IMAGES, -1, 1),
        "folded": VECTORS * 5.0,
        "negative": -VECTORS,
        "other": VECTORS[::-1],
    }
    assert learned_tensors.find(_learned(), tensors) == {
        "as it is": (-1, 2),
        "in another shape": (-1, 2),
        "channels first": (-1, 2),
        "folded": pytest.approx((0, 20)),
    }


def test_what_is_nowhere_is_named():
    tensors = {"a": IMAGES, "b": VECTORS}
    learned = _learned(**{"gone inputs": IMAGES + 1})
    with pytest.raises(JoinedError, match="none for gone inputs") as caught:
        learned_tensors.find(learned, tensors)
    assert caught.value.names == ("gone inputs",)


def test_each_kernel_must_be_an_integer_one():
    learned_tensors.refuse_floats(_learned(), 2)
    with pytest.raises(ExportRefusedError, match=r"2 kernels .* Received: 1"):
        learned_tensors.refuse_floats(_learned(), 1)
