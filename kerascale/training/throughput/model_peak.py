"""The peak of all devices that a model was trained on."""

import importlib

import keras
import tensorflow as tf

from kerascale.engine.collectives import replicas
from kerascale.training.throughput import peak

# It needs JAX.
_MESH_PEAK = "kerascale.training.throughput.mesh_peak"


def of_model(model: keras.Model) -> tuple[float | None, str]:
    """Their peak together.

    Args:
        model: Trained.

    Returns:
        Floating-point operations per second, in the type that it computes in; None:
        not measured. And whose peak it is, on a mesh of several devices; else empty.
    """
    dtype = model.dtype_policy.compute_dtype
    if keras.config.backend() == "jax":
        return importlib.import_module(_MESH_PEAK).of_all_devices(dtype)
    if tf.config.list_logical_devices("TPU"):
        return None, ""
    own, strategy = peak.of_this_machine(dtype), model.distribute_strategy
    # The logical devices of a CPU share its cores; workers have their own.
    if tf.config.list_logical_devices("GPU"):
        return own * strategy.num_replicas_in_sync, ""
    return own * replicas.num_workers(strategy), ""
