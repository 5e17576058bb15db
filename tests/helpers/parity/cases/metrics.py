"""Metrics, whose sums meet when they are read."""

import keras
import numpy as np
from building import classes, mlp, numbers, trained
from registry import case


@case("AUC, Precision, Recall")
def metrics_of_two_classes():
    hidden = keras.layers.Dense(8, activation="tanh")
    model = mlp(hidden, keras.layers.Dense(1), outputs=2)
    y = keras.utils.to_categorical(classes(145, count=2), 2)
    return trained(
        model,
        y=y,
        loss="binary_crossentropy",
        metrics=[
            keras.metrics.AUC(),
            keras.metrics.AUC(curve="PR", multi_label=True, num_labels=2, name="pr"),
            keras.metrics.Precision(),
            keras.metrics.Recall(thresholds=[0.3, 0.6]),
            keras.metrics.SensitivityAtSpecificity(0.5),
        ],
        validation=True,
    )


@case("F1Score, MeanIoU, R2Score")
def metrics_of_several_classes():
    y = keras.utils.to_categorical(classes(145), 3)
    return trained(
        mlp(),
        y=y,
        loss="categorical_crossentropy",
        metrics=[
            keras.metrics.F1Score("macro"),
            keras.metrics.OneHotMeanIoU(3),
            keras.metrics.R2Score(),
            keras.metrics.CosineSimilarity(),
            keras.metrics.KLDivergence(),
        ],
        validation=True,
    )


@case("SparseCategoricalAccuracy, MeanIoU of class numbers, MeanMetricWrapper")
def metrics_of_class_numbers():
    return trained(
        mlp(),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(),
            keras.metrics.MeanIoU(3, sparse_y_pred=False),
            keras.metrics.MeanMetricWrapper(
                lambda y, p: keras.ops.max(p, -1), name="confidence"
            ),
        ],
        weighted_metrics=["accuracy"],
        fit={"class_weight": {0: 0.5, 1: 1.0, 2: 2.0}},
        validation=True,
    )


# Its operation knows float32 alone.
@case("TopK", default=("mirrored:2",), precisions=("float32",))
def metrics_of_top_classes():
    return trained(
        mlp(),
        epochs=5,
        metrics=[
            keras.metrics.SparseTopKCategoricalAccuracy(2),
            keras.metrics.SparseTopKCategoricalAccuracy(1, name="top_1"),
        ],
    )


@case("regression metrics")
def metrics_of_regression():
    return trained(
        mlp(outputs=2),
        y=numbers(145, 2, seed=2),
        loss=keras.losses.Huber(0.5),
        metrics=[
            "mae",
            keras.metrics.RootMeanSquaredError(),
            keras.metrics.R2Score(),
            keras.metrics.MeanAbsolutePercentageError(),
        ],
        validation=True,
    )


@case("evaluate with sample weights")
def evaluate_weighted():
    model = mlp()
    model.compile("sgd", "sparse_categorical_crossentropy", weighted_metrics=["auc"])
    model.compile(
        "sgd", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"]
    )
    weights = np.random.default_rng(3).uniform(0.1, 3, 151)
    values = model.evaluate(
        numbers(151, 4),
        classes(151),
        batch_size=16,
        sample_weight=weights,
        verbose=0,
        return_dict=True,
    )
    return {f"evaluate/{k}": np.array(v) for k, v in values.items()}
