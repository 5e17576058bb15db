"""Writes what TensorBoard shows, so that a run that goes on continues its curves."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from kerascale.callbacks.deferred_writes import Unwritten
from kerascale.callbacks.events_file import EventsFile
from kerascale.callbacks.intervals import Intervals
from kerascale.optimizers import rollback_rates
from kerascale.runs import layout
from kerascale.runtime.console import say

# One that is larger is no picture any more.
_LARGEST_GRAPH = 2**24


class TensorBoardRecord(keras.callbacks.Callback):
    """Writes curves, the model's graph, the configuration, and histograms if asked.

    The curves of epochs are those of `keras.callbacks.TensorBoard`; `batch_...` are
    over steps. Unlike it, it continues the curves of a run that goes on, with no gap
    and no step twice: what was written after the state that the run goes on from is
    cut off. And a full disk ends nothing: what cannot be written waits.

    Args:
        folder: The folder; below it is one for training and one for validation.
        unwritten: What happens where it cannot be written; None: training stops.
        steps_per_epoch: Batches in one pass; None: there are curves of epochs alone.
        fields: The configuration, for the page of hyperparameters; None: without it.
        inputs: What the model takes, as `tf.TensorSpec`, for its graph; None: without.
        histograms: Whether the weights are counted at the end of each epoch.
    """

    every_step = False

    def __init__(
        self,
        folder: str | os.PathLike,
        unwritten: Unwritten | None = None,
        *,
        steps_per_epoch: int | None = None,
        fields: Mapping[str, Any] | None = None,
        inputs: Any = None,
        histograms: bool = False,
    ) -> None:
        super().__init__()
        folder = pathlib.Path(folder)
        # Hyperparameters stand above the parts that they belong to.
        places = {"run": folder}
        places |= {part: folder / part for part in ("train", "validation")}
        self._parts = {
            part: EventsFile(place / layout.EVENTS, unwritten)
            for part, place in places.items()
        }
        self._steps_per_epoch = steps_per_epoch
        self._intervals = Intervals(steps_per_epoch) if steps_per_epoch else None
        self._fields = fields
        self._inputs = inputs
        self._histograms = self.reads_weights = histograms

    def get_state(self) -> dict[str, Any]:
        """What a run that goes on must know."""
        state = {part: events.get_state() for part, events in self._parts.items()}
        return {**state, "seen": self._intervals.seen if self._intervals else 0}

    def set_state(self, state: dict[str, Any]) -> None:
        for part, events in self._parts.items():
            events.set_state(state[part])
        if self._intervals:
            self._intervals.seen = state["seen"]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        for events in self._parts.values():
            events.file.begin()
        if self._intervals:
            self._intervals.end_epoch()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        for events in self._parts.values():
            events.file.retry()
        if self._intervals is None:
            return
        done = min(batch + 1, self._steps_per_epoch)
        due = self._intervals.passed(done)
        if not due:
            return
        self._begin()
        before = self._epoch * self._steps_per_epoch
        rates = rollback_rates.before(self.model, [done - step for step in due])
        for step, rate in zip(due, rates, strict=True):
            summaries = [scalar_pb("batch_learning_rate", rate)]
            if step == due[-1]:  # Metrics are known at the end of an execution.
                summaries += [
                    scalar_pb(f"batch_{name}", float(value))
                    for name, value in (logs or {}).items()
                ]
            self._parts["train"].write(before + step, *summaries)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._begin()
        values = {name: float(value) for name, value in (logs or {}).items()}
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        training = {n: v for n, v in values.items() if not n.startswith("val_")}
        training["learning_rate"] = float(rate)
        validation = {
            n.removeprefix("val_"): v for n, v in values.items() if n.startswith("val_")
        }
        for part, its in (("train", training), ("validation", validation)):
            if its:
                scalars = [scalar_pb(f"epoch_{n}", v) for n, v in its.items()]
                self._parts[part].write(epoch, *scalars)
        if self._histograms:
            self._parts["train"].write(epoch, *map(_histogram, self.model.weights))
        if self._intervals:
            self._intervals.end_epoch()

    def write_now(self) -> None:
        """Writes what waits."""
        for events in self._parts.values():
            events.file.write_now()

    def _begin(self) -> None:
        """What stands once at the beginning; a run that goes on has it already."""
        if self._fields is not None and self._parts["run"].is_new:
            self._parts["run"].write(0, hparams_pb(_plain(self._fields)))
        if self._inputs is not None and self._parts["train"].is_new:
            graph = _graph(self.model, self._inputs)
            if graph is not None:
                self._parts["train"].write_graph(graph)


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Values that the page of hyperparameters has a place for."""
    kinds = (bool, int, float, str)
    return {n: v if isinstance(v, kinds) else str(v) for n, v in fields.items()}


def _histogram(variable: keras.Variable) -> Any:
    values = np.asarray(keras.ops.convert_to_numpy(variable), "float64")
    return histogram_pb(variable.path, values[np.isfinite(values)])


def _graph(model: keras.Model, inputs: Any) -> bytes | None:
    """The operations from inputs to outputs; None, which is told: there is none."""
    if keras.backend.backend() != "tensorflow":
        return None  # It draws TensorFlow's graphs.
    function = tf.function(lambda x: model(x, training=False), autograph=False)
    try:
        graph = function.get_concrete_function(inputs).graph.as_graph_def()
    except Exception as error:  # A user's own code, which may want more than inputs.
        say(f"note: TensorBoard shows no graph of the model ({error!s:.200})")
        return None
    if graph.ByteSize() > _LARGEST_GRAPH:
        size = graph.ByteSize() / 2**20
        say(f"note: TensorBoard shows no graph of the model: it has {size:.0f} MiB")
        return None
    return graph.SerializeToString()
