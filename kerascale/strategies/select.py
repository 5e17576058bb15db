"""Where a model trains: the `tf.distribute` strategy, chosen by name."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from kerascale.errors import RefusedError
from kerascale.runtime import run_clock
from kerascale.runtime.console import say
from kerascale.strategies import mesh_peers, model_parallel, tf_config
from kerascale.strategies.slurm import joining

NAMES = (
    "auto",
    "one_device",
    "mirrored",
    "multi_worker_mirrored",
    "tpu",
    *model_parallel.NAMES,
)

# How many devices a process should have. On a host without GPUs its CPU is split.
DEVICES = "KERASCALE_DEVICES"

# The one of this process: a second would break the collectives of the first.
_made: tuple[str, tf.distribute.Strategy] | None = None


def get(
    strategy: str | tf.distribute.Strategy = "auto",
    *,
    tpu: str | None = None,
    start_timeout: float | None = None,
    mesh: str | Mapping[str, int] | None = None,
    layout: Mapping[Any, Any] | None = None,
    remat: model_parallel.Remat = "none",
) -> tf.distribute.Strategy | model_parallel.ModelParallel:
    """The strategy of a name. `auto` says what it chose and why.

    Call it before anything else of TensorFlow runs: devices and collectives are
    decided when TensorFlow starts.

    Args:
        strategy: `one_device`; `mirrored`: all GPUs of this host, or the CPU split
            into `KERASCALE_DEVICES`; `multi_worker_mirrored`: the workers of
            TF_CONFIG, or the tasks of the Slurm step that this process is one of;
            `tpu`; `model_parallel`: variables are cut over a mesh, `fsdp`: all of
            them over its axis `data`, both on Keras' JAX backend; `auto`: the one
            that fits what is there; or a `tf.distribute.Strategy`.
        tpu: Name or address of the TPU, for `tpu`; None: TPU_NAME, or the host's own.
        start_timeout: Seconds in which the others must have started: all tasks of a
            Slurm step (None: 300), and the hosts of TF_CONFIG an address (None: 5).
        mesh: For `model_parallel` and `fsdp`: `data=2,model=4`, or a dict; None: all
            devices along `data`.
        layout: For them: how variables are cut along other axes than `data`, as
            `layouts.rules_of` reads it; None: as is shipped for the model.
        remat: For them: what a training step computes again for its gradient, instead
            of keeping it. `block`: each block of a Transformer, of which its inputs
            are kept alone; `full`: each layer, those in a block once more within it;
            `none`: nothing.

    Returns:
        The strategy; for one device TensorFlow's default one.

    Raises:
        RefusedError: If the name is unknown, what it needs is not there, or this
            process has another strategy already.

    Example:

    ```python
    with ks.strategies.get("auto").scope():
        model = ...
    ```
    """
    global _made
    if isinstance(strategy, model_parallel.ModelParallel):
        return strategy
    if isinstance(strategy, tf.distribute.Strategy):
        return _checked(strategy)
    if strategy not in NAMES:
        raise RefusedError(
            f"strategy: expected {', '.join(NAMES)} or a tf.distribute.Strategy. "
            f"Received: {strategy!r}."
        )
    if strategy in model_parallel.NAMES:
        return model_parallel.make(strategy, mesh, layout, start_timeout, remat)
    if remat != "none":
        raise RefusedError(
            f"remat: expected none with the strategy {strategy}: what is computed "
            "again is said of a program that JAX traces, and steps are TensorFlow's "
            f"there. Received: {remat!r}. Leave it out, or use model_parallel or fsdp "
            "(a mesh of one device: --mesh data=1)."
        )
    if mesh is not None or layout is not None:
        raise RefusedError(
            f"mesh: expected none with the strategy {strategy}. Received: "
            f"{mesh or layout!r}. Leave it out, or use model_parallel or fsdp."
        )
    joined = None
    if strategy in ("auto", "multi_worker_mirrored"):
        with run_clock.within(run_clock.PEERS):
            joined = joining.join(timeout=start_timeout or joining.START_SECONDS)
    name, reason = (strategy, "") if strategy != "auto" else _choose(joined)
    if _made is not None and _made[0] == name:
        return _made[1]
    current = tf.distribute.get_strategy()
    if current.num_replicas_in_sync > 1:
        raise RefusedError(
            "strategy: expected to be outside of any strategy's scope. Received: the "
            f"scope of {type(current).__name__}. Pass that strategy itself."
        )
    if name == "one_device":
        made = current
    elif _made is not None:
        raise RefusedError(
            f"strategy: expected one strategy in a process. Received: {name}, where "
            f"{_made[0]} was made before. Start a new process."
        )
    else:
        made = _MAKERS[name](tpu, start_timeout)
        _made = (name, made)
    if reason:
        say(f"strategy: {name} ({reason})")
    return made


def name_of(strategy: tf.distribute.Strategy | model_parallel.ModelParallel) -> str:
    """The name under which a run records its strategy."""
    if isinstance(strategy, model_parallel.ModelParallel):
        return strategy.name
    for kind, name in _KINDS.items():
        if isinstance(strategy, kind):
            return name
    return "one_device" if strategy.num_replicas_in_sync == 1 else str(type(strategy))


def describe(
    strategy: tf.distribute.Strategy | model_parallel.ModelParallel,
) -> dict[str, str | int]:
    """What a run records of its hardware: name, replicas and workers, or mesh."""
    if isinstance(strategy, model_parallel.ModelParallel):
        return {
            "strategy": strategy.name,
            "replicas": 1,
            "workers": mesh_peers.here().count,
            "mesh": str(strategy.mesh),
            "remat": strategy.remat,
        }
    workers = tf_config.from_environment()
    several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return {
        "strategy": name_of(strategy),
        "replicas": strategy.num_replicas_in_sync,
        "workers": workers.num_workers if several and workers else 1,
    }


def _choose(joined: str | None) -> tuple[str, str]:
    workers = tf_config.from_environment()
    if workers is not None and workers.num_workers > 1:
        place = joined or f"TF_CONFIG says that this is {workers.name}"
        return "multi_worker_mirrored", f"auto: {place}"
    if tf.config.list_physical_devices("TPU") or os.environ.get("TPU_NAME"):
        return "tpu", "auto: a TPU is there"
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus > 1:
        return "mirrored", f"auto: {gpus} GPUs are visible"
    if not gpus and _num_devices() > 1:
        return "mirrored", f"auto: {DEVICES}={_num_devices()}"
    reason = "1 GPU is visible" if gpus else "no GPU is visible, so the CPU"
    return "one_device", f"auto: {reason}"


def _mirrored(tpu: str | None, start_timeout: float | None) -> tf.distribute.Strategy:
    del tpu, start_timeout
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        # All of them: CUDA_VISIBLE_DEVICES says which these are.
        return tf.distribute.MirroredStrategy()
    count = _split_cpu()
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)])


def _multi_worker_mirrored(
    tpu: str | None, start_timeout: float | None
) -> tf.distribute.Strategy:
    del tpu
    workers = tf_config.from_environment()
    if workers is None:
        raise RefusedError(
            "strategy: multi_worker_mirrored expects the workers in TF_CONFIG. "
            "Received: no TF_CONFIG. Start with `kerascale launch --workers N -- "
            "train ...`, with srun, or set TF_CONFIG on each host: see "
            "docs/several_devices.md."
        )
    patience = tf_config.PATIENCE_SECONDS if start_timeout is None else start_timeout
    with run_clock.within(run_clock.PEERS):
        tf_config.refuse_unreachable(workers, patience_seconds=patience)
    tf_config.reach_directly(workers)
    if not tf.config.list_physical_devices("GPU"):
        _split_cpu()
    try:
        with run_clock.within(run_clock.PEERS):  # Until all servers answer.
            tf_config.wait_for_chief(workers)
            return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise RefusedError(_TOO_LATE.format("multi_worker_mirrored")) from error


def _tpu(name: str | None, start_timeout: float | None) -> tf.distribute.Strategy:
    del start_timeout
    try:
        resolver = _resolve_tpu(name)
        if resolver.master():  # On another host; "" is the one we run on.
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        asked = name or os.environ.get("TPU_NAME") or "the TPU of this host"
        first_line = str(error).strip().splitlines()[0] if str(error) else ""
        raise RefusedError(
            f"strategy: tpu expects a TPU that answers. Received: {asked}: "
            f"{type(error).__name__}: {first_line} Name it with --tpu NAME, or set "
            "TPU_NAME (and TPU_ZONE, TPU_PROJECT where it is in another one); on a TPU "
            "VM install TensorFlow's TPU build, and pass --tpu local."
        ) from error


def _resolve_tpu(name: str | None) -> tf.distribute.cluster_resolver.ClusterResolver:
    return tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)


_MAKERS: dict[str, Callable[[str | None, float | None], tf.distribute.Strategy]] = {
    "mirrored": _mirrored,
    "multi_worker_mirrored": _multi_worker_mirrored,
    "tpu": _tpu,
}

_KINDS = {
    tf.distribute.MultiWorkerMirroredStrategy: "multi_worker_mirrored",
    tf.distribute.MirroredStrategy: "mirrored",
    tf.distribute.TPUStrategy: "tpu",
}

_TOO_LATE = (
    "strategy: {0} expects to be made before anything else of TensorFlow runs. "
    'Received: a TensorFlow that runs already. Call kerascale.strategies.get("{0}") '
    "first."
)


def _num_devices() -> int:
    text = os.environ.get(DEVICES, "1")
    if not text.isdecimal() or int(text) < 1:
        raise RefusedError(f"{DEVICES}: expected an integer >= 1. Received: {text!r}.")
    return int(text)


def _split_cpu() -> int:
    """Splits the CPU into logical devices, as many as were asked for."""
    count = _num_devices()
    if count > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        try:
            if (
                tf.config.get_logical_device_configuration(cpu) is None
                or len(tf.config.get_logical_device_configuration(cpu)) != count
            ):
                tf.config.set_logical_device_configuration(cpu, parts)
        except RuntimeError as error:
            raise RefusedError(_TOO_LATE.format("mirrored")) from error
    return count


def _checked(strategy: tf.distribute.Strategy) -> tf.distribute.Strategy:
    if isinstance(strategy, tf.distribute.ParameterServerStrategy) or isinstance(
        strategy, tf.distribute.experimental.CentralStorageStrategy
    ):
        raise RefusedError(
            "strategy: expected one whose replicas are in step: MirroredStrategy, "
            "MultiWorkerMirroredStrategy or TPUStrategy. Received: "
            f"{type(strategy).__name__}."
        )
    return strategy
