"""Layers that the models share and Keras does not have."""

from kerascale.datasets.target_scale import TargetScale
from kerascale.layers import _private_rules as _private_rules
from kerascale.layers._trained import Dense
from kerascale.layers.attention import SelfAttention
from kerascale.layers.convolution import ConvolutionBlock, ResidualBlock
from kerascale.layers.cumulative_logits import CumulativeLogits
from kerascale.layers.dropout import Dropout
from kerascale.layers.members import MemberDense, MemberInputs, MemberMean
from kerascale.layers.positions import PositionEmbedding, SinusoidalPositions
from kerascale.layers.recurrent import GRU, LSTM
from kerascale.layers.sampling import Sampling
from kerascale.layers.sequences import ToSequence
from kerascale.layers.token_embedding import TokenEmbedding
from kerascale.layers.transformer_block import TransformerBlock
from kerascale.layers.transformer_stack import TransformerStack

__all__ = [
    "GRU",
    "LSTM",
    "ConvolutionBlock",
    "CumulativeLogits",
    "Dense",
    "Dropout",
    "MemberDense",
    "MemberInputs",
    "MemberMean",
    "PositionEmbedding",
    "ResidualBlock",
    "Sampling",
    "SelfAttention",
    "SinusoidalPositions",
    "TargetScale",
    "ToSequence",
    "TokenEmbedding",
    "TransformerBlock",
    "TransformerStack",
]
