"""Adversarial training: a model learns from examples that are changed against it."""

from kerascale.trust.adversarial.training import adversarial, finish

__all__ = ["adversarial", "finish"]
