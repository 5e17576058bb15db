"""Attention of ours gives what Keras' own gives, with the same weights."""

import keras
import numpy as np
import pytest

from kerascale.layers import SelfAttention


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_outputs_are_those_of_keras(causal, padded):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal((2, 5, 8)).astype("float32")
    mask = np.ones((2, 5), bool)
    if padded:
        mask[1, 3:] = False
    ours = SelfAttention(2, causal=causal)
    theirs = keras.layers.MultiHeadAttention(2, 4)
    ours.build(x.shape)
    theirs.build(x.shape, x.shape)
    parts = [theirs.query_dense, theirs.key_dense, theirs.value_dense]
    kernels = [np.reshape(part.kernel, (8, 8)) for part in parts]
    ours.query_key_value.kernel.assign(np.concatenate(kernels, axis=1))
    output = np.reshape(theirs.output_dense.kernel, (8, 8))
    ours.attention_output.kernel.assign(output)
    expected = theirs(
        x, x, attention_mask=mask[:, None] if padded else None, use_causal_mask=causal
    )
    found = ours(x, mask=mask if padded else None)
    np.testing.assert_allclose(found, expected, atol=1e-5)
