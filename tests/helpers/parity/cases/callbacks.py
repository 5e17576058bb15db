"""Keras' callbacks that change a training."""

import keras
from building import classes, mlp, numbers, trained
from registry import case


@case("ReduceLROnPlateau", default=("mirrored:2",))
def reduce_rate_on_plateau():
    # Labels that say nothing: the validation loss does not fall for long.
    callback = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=1, min_delta=0.1)
    return trained(
        mlp(),
        optimizer=keras.optimizers.SGD(0.5),
        validation=True,
        fit={"callbacks": [callback], "validation_freq": 1},
    )


@case("LearningRateScheduler", default=("mirrored:4",))
def rate_scheduler():
    callback = keras.callbacks.LearningRateScheduler(lambda epoch: 0.5 / (1 + epoch))
    return trained(mlp(), fit={"callbacks": [callback]})


@case("EarlyStopping, best weights restored", default=("workers:2",))
def early_stopping():
    callback = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    return trained(
        mlp(),
        numbers(145, 4),
        classes(145),
        optimizer=keras.optimizers.Adam(0.2),
        fit={
            "callbacks": [callback],
            "validation_data": (numbers(33, 4, seed=8), classes(33, seed=9)),
            "validation_freq": 1,
        },
    )
