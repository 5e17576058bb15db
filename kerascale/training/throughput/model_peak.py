"""The peak of all devices that a model was trained on."""

import importlib

import keras
import tensorflow as tf

from kerascale.engine.collectives import replicas
from kerascale.training.throughput import peak

# It needs JAX.
_MESH_PEAK = "kerascale.training.throughput.mesh_peak"


def of_model(model: keras.Model, reached: float) -> tuple[float | None, str]:
    """Their peak together.

    One that was exceeded was measured beside other work: it is measured again.

    Args:
        model: Trained.
        reached: Floating-point operations per second of its training.

    Returns:
        Floating-point operations per second, in the type that it computes in; None:
        not measured. And whose peak it is, on a mesh of several devices; else empty.
    """
    found, devices = _measured(model, again=False)
    if found is not None and reached > found:
        found, devices = _measured(model, again=True)
    return found, devices


def _measured(model: keras.Model, *, again: bool) -> tuple[float | None, str]:
    dtype = model.dtype_policy.compute_dtype
    if keras.config.backend() == "jax":
        mesh_peak = importlib.import_module(_MESH_PEAK)
        return mesh_peak.of_all_devices(dtype, again=again)
    if tf.config.list_logical_devices("TPU"):
        return None, ""
    own = peak.of_this_machine(dtype, again=again)
    strategy = model.distribute_strategy
    # The logical devices of a CPU share its cores; workers have their own.
    if tf.config.list_logical_devices("GPU"):
        return own * strategy.num_replicas_in_sync, ""
    return own * replicas.num_workers(strategy), ""
