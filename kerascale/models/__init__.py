"""Keras models: the four architectures, to subclass, compile and fit."""
