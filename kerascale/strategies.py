"""Where a model trains: the `tf.distribute` strategy, chosen by name."""

import tensorflow as tf

from kerascale.console import say
from kerascale.errors import RefusedError

NAMES = ("auto", "one_device", "mirrored", "multi_worker_mirrored", "tpu")


def get(
    strategy: str | tf.distribute.Strategy = "auto",
) -> tf.distribute.Strategy:
    """The strategy of a name. `auto` says what it chose and why.

    Args:
        strategy: `auto`, `one_device`, or a `tf.distribute.Strategy` with one
            replica. This version trains on one device.

    Returns:
        The strategy; for one device TensorFlow's default one.

    Raises:
        RefusedError: If the name is unknown, or asks for more than one replica.

    Example:

    ```python
    with ks.strategies.get("auto").scope():
        model = ...
    ```
    """
    if isinstance(strategy, tf.distribute.Strategy):
        if strategy.num_replicas_in_sync > 1:
            raise _more_than_one(
                f"{type(strategy).__name__} with {strategy.num_replicas_in_sync} "
                "replicas"
            )
        return strategy
    if strategy not in NAMES:
        raise RefusedError(
            f"strategy: expected {', '.join(NAMES)} or a tf.distribute.Strategy. "
            f"Received: {strategy!r}."
        )
    if strategy not in ("auto", "one_device"):
        raise _more_than_one(strategy)
    current = tf.distribute.get_strategy()
    if current.num_replicas_in_sync > 1:
        raise _more_than_one(f"the scope of {type(current).__name__}")
    if strategy == "auto":
        say(f"strategy: one_device ({_reason()})")
    return current


def name_of(strategy: tf.distribute.Strategy) -> str:
    """The name under which a run records its strategy."""
    is_default = strategy is tf.distribute.get_strategy()
    return "one_device" if is_default else type(strategy).__name__


def _reason() -> str:
    gpus = len(tf.config.list_logical_devices("GPU"))
    if gpus > 1:
        return f"auto: the first of {gpus} GPUs; this version trains on one device"
    return "auto: 1 GPU is visible" if gpus else "auto: no GPU is visible, so the CPU"


def _more_than_one(received: str) -> RefusedError:
    return RefusedError(
        "strategy: this version trains on one device. Expected: auto or one_device. "
        f"Received: {received}."
    )
