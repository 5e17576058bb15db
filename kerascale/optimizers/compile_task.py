"""Compiles a model for the task of its data."""

from typing import Any

import keras

from kerascale.config import TrainingConfig
from kerascale.optimizers.factory import (
    build_state,
    compile_classifier,
    make_optimizer,
)
from kerascale.optimizers.task_losses import PoissonDeviance, ScaledSquaredError
from kerascale.optimizers.task_metrics import (
    R2,
    PositiveAUC,
    RankMAE,
    TargetMAE,
    TargetRMSE,
)


def compile_for_task(
    model: keras.Model, config: TrainingConfig, datasets: Any
) -> keras.Model:
    """Compiles a model with loss and metrics of what its data asks for.

    Args:
        model: Its output is what `datasets.output_options()` made of it.
        config: See `TrainingConfig`.
        datasets: The data (`kerascale.datasets.Datasets`).

    Returns:
        The same model. What it is measured by in training, beside the loss:
        `classification` accuracy; `binary` accuracy and auc; `ordinal` accuracy and
        mae, in ranks; `multilabel` accuracy (of single labels) and auc (mean over
        labels); `regression` mae, rmse and r2.
    """
    steps, task = datasets.steps_per_epoch, datasets.info.task
    if task == "classification":
        return compile_classifier(model, config, steps)
    loss, metrics = _measures(task, datasets)
    model.compile(
        optimizer=make_optimizer(config, steps),
        loss=loss,
        metrics=metrics,
        steps_per_execution=config.steps_per_execution,
        jit_compile=False,
    )
    build_state(model)
    return model


def _measures(task: str, datasets: Any) -> tuple[Any, list[Any]]:
    """Loss and metrics."""
    if task == "binary":
        return "sparse_categorical_crossentropy", ["accuracy", PositiveAUC(name="auc")]
    if task == "ordinal":
        return "sparse_categorical_crossentropy", ["accuracy", RankMAE(name="mae")]
    if task == "multilabel":
        count = len(datasets.info.target_names)
        auc = keras.metrics.AUC(multi_label=True, num_labels=count, name="auc")
        accuracy = keras.metrics.BinaryAccuracy(name="accuracy")
        return "binary_crossentropy", [accuracy, auc]
    moments = (datasets.info.target_mean, datasets.info.target_scale)
    metrics = [kind(*moments, name=name) for name, kind in _OF_REGRESSION.items()]
    return regression_loss(datasets.info), metrics


def regression_loss(info: Any) -> keras.losses.Loss:
    """What a regression makes small.

    Args:
        info: Of its data (`kerascale.datasets.DataInfo`).
    """
    if info.target_loss == "poisson":
        return PoissonDeviance(info.target_mean)
    return ScaledSquaredError(info.target_scale)


_OF_REGRESSION = {"mae": TargetMAE, "rmse": TargetRMSE, "r2": R2}
