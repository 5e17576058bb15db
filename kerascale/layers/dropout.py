"""Dropout: the one import point of every model here."""

import keras


@keras.saving.register_keras_serializable(package="kerascale")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`, under a name of ours.

    Every model of this package draws its dropout here, so that what a mask depends
    on is decided in one place.

    Args:
        rate: Float between 0 and 1. Fraction of the values that are dropped.
        noise_shape: Shape of the mask, as in Keras. Defaults to the input's.
        seed: Integer. Defaults to one drawn from Keras' global seed.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of any shape.
        training: Boolean. Nothing is dropped if it is `False`.

    Example:

    >>> layer = kerascale.layers.Dropout(0.5)
    >>> layer(np.ones((2, 3), "float32"), training=True)
    """
