"""Modes of execution that were measured before, kept in the user's cache folder."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
import pathlib
import platform
from typing import Any

import keras
import tensorflow as tf

from kerascale._version import __version__
from kerascale.datasets import cache
from kerascale.datasets.pipeline import Batches
from kerascale.engine.collectives import replicas
from kerascale.engine.compat import keras_private, tensorflow_private
from kerascale.engine.execution.modes import Kind, Mode, most_steps
from kerascale.engine.step.private import method as private
from kerascale.runtime import atomic_files, xla_cache
from kerascale.runtime.host import cpu_model, usable_cores

# A program has to save more than its compilation takes: of a training that is shorter
# as a loop none is compiled.
WORTH_COMPILING_SECONDS = 10.0
# Where programs are kept, compiling it is paid for once, by this process, and each
# later one gains.
_WORTH_KEEPING_SECONDS = 5.0
# One that is kept has to be traced alone.
_WORTH_TRACING_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Known:
    """What was measured of a model.

    Args:
        seconds: Of a step in a loop.
        steps: Of an execution in a loop.
        compiled: The fastest kind of mode: one that XLA compiles, or `loop`; None:
            only a loop was measured.
        compiled_steps: Of an execution in that mode.
        compiled_most: As of a `Mode`.
    """

    seconds: float
    steps: int
    compiled: Kind | None = None
    compiled_steps: int = 0
    compiled_most: int = 0

    def mode(self, total_steps: float) -> Mode:
        """The mode for a training of that many steps."""
        if self.compiled not in (None, "loop") and total_steps >= self.enough:
            most = self.compiled_most
            return Mode(self.compiled, self.compiled_steps, most=most)
        return Mode("loop", self.steps, most=most_steps(self.seconds))

    @property
    def enough(self) -> float:
        """Steps of a training that is long enough for a program to be compiled."""
        if self.compiled == "loop":
            return math.inf
        worth = WORTH_COMPILING_SECONDS
        if xla_cache.is_announced(os.environ):
            is_kept = self.compiled is not None
            worth = min(
                worth, _WORTH_TRACING_SECONDS if is_kept else _WORTH_KEEPING_SECONDS
            )
        return worth / self.seconds


def read(model: keras.Model, batches: Batches) -> Known | None:
    """What is known of such a model; None if it was not measured."""
    try:
        return Known(**json.loads(_path(model, batches).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write(model: keras.Model, batches: Batches, known: Known) -> None:
    """Keeps what was measured, if the cache can be written."""
    path = _path(model, batches)
    text = json.dumps(dataclasses.asdict(known))
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.replacing(path, shared=True) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _path(model: keras.Model, batches: Batches) -> pathlib.Path:
    """A file for each machine, version, model, and size of a batch."""
    facts = [_machine(), _model(model), batches.batch_size, batches.num_examples]
    strategy = model.distribute_strategy
    if replicas.is_distributed(strategy):
        number = strategy.num_replicas_in_sync
        facts.append([type(strategy).__name__, number, replicas.num_workers(strategy)])
    key = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
    return cache.cache_dir() / "executions" / f"{key[:32]}.json"


@functools.cache
def _machine() -> list[Any]:
    processor = cpu_model() or platform.processor()
    devices = [
        [d.device_type, tf.config.experimental.get_device_details(d)]
        for d in tf.config.list_physical_devices()
    ]
    versions = [tf.__version__, keras.__version__, __version__]
    kernels = tensorflow_private.onednn()
    return [processor, usable_cores(), devices, versions, kernels]


def _model(model: keras.Model) -> list[Any]:
    optimizer = model.optimizer
    names = ("gradient_accumulation_steps", "use_ema", "clipnorm", "global_clipnorm")
    return [
        [type(layer).__name__ for layer in keras_private.all_layers(model)],
        [[list(v.shape), v.dtype] for v in model.variables],
        type(optimizer).__name__,
        type(model).compute_loss.__qualname__,
        [bool(getattr(optimizer, name, None)) for name in names],
        [type(metric).__name__ for metric in model.metrics],
        bool(model.jit_compile),
        private.kind(model),
    ]
