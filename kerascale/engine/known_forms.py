"""Forms of execution that were measured before, kept in the user's cache folder."""

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
from kerascale.engine import private_keras

# A program has to save more than its compilation takes: of a training that is shorter
# as a loop none is compiled.
WORTH_COMPILING_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Form:
    """How steps are executed.

    Args:
        one_program: Whether XLA compiles the steps of an execution as one program.
        steps: Steps in an execution.
    """

    one_program: bool
    steps: int

    def __str__(self) -> str:
        what = "one XLA program of" if self.one_program else "a loop of"
        return f"{what} {self.steps} steps"


@dataclasses.dataclass(frozen=True)
class Known:
    """What was measured of a model.

    Args:
        seconds: Of a step in a loop.
        steps: Of an execution in a loop.
        program_steps: Of an execution as one program, where that is faster; 0: it is
            not; None: it was not measured.
    """

    seconds: float
    steps: int
    program_steps: int | None = None

    def form(self, total_steps: float) -> Form:
        """The form for a training of that many steps."""
        if self.program_steps and total_steps >= self.enough:
            return Form(True, self.program_steps)
        return Form(False, self.steps)

    @property
    def enough(self) -> float:
        """Steps of a training that is long enough for a program to be compiled."""
        if self.program_steps == 0:
            return math.inf
        return WORTH_COMPILING_SECONDS / self.seconds


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
        # In one move: another process may read it.
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)


def _path(model: keras.Model, batches: Batches) -> pathlib.Path:
    """A file for each machine, version, model, and size of a batch."""
    facts = [_machine(), _model(model), batches.batch_size, batches.num_examples]
    key = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
    return cache.cache_dir() / "executions" / f"{key[:32]}.json"


@functools.cache
def _machine() -> list[Any]:
    processor = platform.processor()
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((x for x in lines if x.startswith("model name")), processor)
    devices = [
        [d.device_type, tf.config.experimental.get_device_details(d)]
        for d in tf.config.list_physical_devices()
    ]
    count = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    versions = [tf.__version__, keras.__version__, __version__]
    return [processor, len(count), devices, versions]


def _model(model: keras.Model) -> list[Any]:
    optimizer = model.optimizer
    names = ("gradient_accumulation_steps", "use_ema", "clipnorm", "global_clipnorm")
    return [
        [type(layer).__name__ for layer in private_keras.all_layers(model)],
        [[list(v.shape), v.dtype] for v in model.variables],
        type(optimizer).__name__,
        [bool(getattr(optimizer, name, None)) for name in names],
        [type(metric).__name__ for metric in model.metrics],
        bool(model.jit_compile),
    ]
