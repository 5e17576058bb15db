"""Layers that the models share and Keras does not have."""
