"""Keras models: the four architectures, to subclass, compile and fit."""

# `import kerascale.models` is enough to load a run's files with plain Keras: their
# schedules, constraints and text functions are registered by these.
from kerascale import datasets, optimizers  # noqa: F401
from kerascale.models.causal_transformer import CausalTransformer
from kerascale.models.classifier import Classifier
from kerascale.models.cnn import CNN
from kerascale.models.fine_tuning import Features, GradientGate, fine_tuned
from kerascale.models.mlp import MLP
from kerascale.models.rnn import RNN
from kerascale.models.transformer import Transformer

__all__ = [
    "CNN",
    "MLP",
    "RNN",
    "CausalTransformer",
    "Classifier",
    "Features",
    "GradientGate",
    "Transformer",
    "fine_tuned",
]
