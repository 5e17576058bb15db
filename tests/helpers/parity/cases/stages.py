"""Trainings in stages: frozen layers, fine-tuning, a model saved between."""

import keras
from building import mlp, trained
from registry import case


def _layers(first):
    return [
        keras.layers.Dense(8, name=first),
        keras.layers.BatchNormalization(momentum=0.9, name="norm"),
        keras.layers.Activation("tanh"),
        keras.layers.Dense(6, activation="tanh", name="second"),
    ]


@case("frozen layers", default=("mirrored:2",))
def frozen_layers():
    model = mlp(*_layers("first"))
    model.get_layer("first").trainable = False
    model.get_layer("norm").trainable = False
    return trained(
        model, optimizer=keras.optimizers.Adam(0.01, clipnorm=0.1), validation=True
    )


@case("fine-tuning: compiled again")
def fine_tuning():
    model = mlp(*_layers("before_norm"))
    for layer in model.layers[:-1]:
        layer.trainable = False
    first = trained(model, epochs=3)
    for layer in model.layers:
        layer.trainable = True
    second = trained(
        model, epochs=3, optimizer=keras.optimizers.Adam(0.01, global_clipnorm=0.1)
    )
    history = {f"first/{k}": v for k, v in first.items() if k.startswith("history")}
    return second | history
