"""Forms of execution that were measured before, kept in the user's cache folder."""

import contextlib
import dataclasses
import functools
import hashlib
import json
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


def read(model: keras.Model, batches: Batches) -> Form | None:
    """The form that was found for such a model; None if none was."""
    try:
        return Form(**json.loads(_path(model, batches).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write(model: keras.Model, batches: Batches, form: Form) -> None:
    """Keeps a form, if the cache can be written."""
    path = _path(model, batches)
    text = json.dumps(dataclasses.asdict(form))
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
