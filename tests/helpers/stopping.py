"""A training that is asked to stop, in the process of a test."""

import signal

import keras


class StopAfter(keras.callbacks.Callback):
    """Asks to stop after so many steps, as a scheduler does."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        self.steps -= 1
        if self.steps == 0:
            signal.raise_signal(signal.SIGTERM)
