"""Attention rollout (Abnar and Zuidema, "Quantifying Attention Flow in Transformers",
2020): how much of each position is mixed into what the last block gives."""

import numpy as np
import tensorflow as tf

from kerascale.models import Transformer
from kerascale.trust.explanation.subject import Subject


def applies_to(subject: Subject) -> bool:
    """Whether a model is a Transformer whose blocks can be asked."""
    return subject.has_embedding and isinstance(subject.model, Transformer)


def roll_out(subject: Subject) -> np.ndarray:
    """The share of each part in the mean that the head reads.

    Attention is averaged over heads, a block's residual path counts as half, and blocks
    are multiplied. It is the same for each class, and never negative.

    Args:
        subject: Examples of a `kerascale.models.Transformer`.

    Returns:
        Of shape (examples, parts).
    """
    model = subject.model
    masks = None if subject.masks is None else tf.constant(subject.masks)
    values = tf.cast(subject.embedded, model.compute_dtype)
    x = model.stack.position(model.tokens(values))
    flow = None
    for block in model.stack.blocks:
        normed = block.attention_norm(x)
        weights = block.attention.attention_weights(normed, masks)
        mixed = tf.reduce_mean(tf.cast(weights, tf.float32), axis=1).numpy()
        mixed = 0.5 * mixed + 0.5 * np.eye(mixed.shape[-1])
        mixed /= mixed.sum(axis=-1, keepdims=True)
        flow = mixed if flow is None else mixed @ flow
        x = block(x, mask=masks, training=False)
    if subject.masks is None:
        return _of_parts(subject, flow.mean(axis=1))
    valid = subject.masks[..., None].astype(np.float64)
    shares = (flow * valid).sum(axis=1) / np.maximum(valid.sum(axis=1), 1)
    return shares * subject.masks


def _of_parts(subject: Subject, tokens: np.ndarray) -> np.ndarray:
    """What was found of tokens, divided among the parts that each was made of."""
    parts, sequence = subject.parts, subject.model.to_sequence
    if parts.count == tokens.shape[1]:
        return tokens
    if parts.number_of.ndim == 2:  # A picture, by patches or by rows.
        height, width = parts.number_of.shape
        side = sequence.patch_size
        tall, wide = (side, side) if side else (1, width)
        grid = tokens.reshape(-1, height // tall, width // wide) / (tall * wide)
        return grid.repeat(tall, axis=1).repeat(wide, axis=2).reshape(len(tokens), -1)
    return parts.sums(tokens)
