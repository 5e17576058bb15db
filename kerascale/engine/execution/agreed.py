"""What workers find each for itself, and must not act on differently."""

import json
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerascale.engine.collectives import consensus, replicas


def seconds(strategy: tf.distribute.Strategy, own: float) -> float:
    """Those that the chief has measured. All workers call it."""
    if replicas.num_workers(strategy) == 1:
        return own
    return int(consensus.gather(strategy, [round(own * 1e9)])[0, 0]) / 1e9


def any_of(strategy: tf.distribute.Strategy, own: bool) -> bool:
    """Whether it is so on some worker. All workers call it."""
    if replicas.num_workers(strategy) == 1:
        return own
    return bool(consensus.gather(strategy, [int(own)]).any())


def from_chief(strategy: tf.distribute.Strategy, make: Callable[[], Any]) -> Any:
    """What the chief makes: anything that JSON takes. All workers call it."""
    if replicas.num_workers(strategy) == 1:
        return make()
    return json.loads(consensus.from_chief(strategy, lambda: json.dumps(make())))
