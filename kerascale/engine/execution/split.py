"""One step on one device whose batch is split: a program of XLA for each core.

The programs compute the gradients of their rows beside each other, and one more adds
them up and updates the weights. They are the replicas of a strategy in small: losses
are divided by the size of the whole batch, and each part draws by the place of its
rows in it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale.datasets import nests
from kerascale.engine.collectives import all_reduce, lockstep
from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard
from kerascale.engine.execution import agreements, kept_programs, xla_program
from kerascale.engine.parity import check as parity_check
from kerascale.engine.step import (
    half_range,
    metrics,
    observations,
    optimizer_view,
    randomness,
    scalar_means,
    step_loss,
)
from kerascale.engine.step.losses import GlobalLoss
from kerascale.engine.step.optimizer_view import as_optimizer
from kerascale.engine.step.private import method as private
from kerascale.engine.step.schedule_rates import Ahead, Rates
from kerascale.engine.step.step import TrainStep
from kerascale.errors import RefusedError, first_line
from kerascale.runtime.host import usable_cores

# More parts than these were never tried.
_MOST_PARTS = 8

_COUPLED = "the rows of a batch are computed from each other"

# What a part gives: gradients, what it adds to the metrics, seeds, its loss, and what
# its layers tell.
Found = tuple[
    list[Any], list[tf.Tensor], list[tf.Tensor], tf.Tensor | None, list[tf.Tensor]
]


def num_parts(batch_size: int) -> int:
    """Into how many a batch is split: one for each core that may be used."""
    return min(usable_cores(), _MOST_PARTS, batch_size)


class SplitStep:
    """The step of a compiled, built model on full batches.

    Args:
        model: On one device, with Keras' own training step.
        batch_size: Examples in a batch.
        parts: Into how many it is split.
    """

    def __init__(self, model: keras.Model, batch_size: int, parts: int) -> None:
        self._model = model
        self._batch_size = batch_size
        self._step = TrainStep(model)
        self._rates = Rates(model)
        bounds = [
            shard.bounds(tf.constant(batch_size, tf.int64), i, parts)
            for i in range(parts)
        ]
        self._slices = [(int(offset), int(count)) for offset, count in bounds]
        self._metrics = metrics.variables_of(model)
        # Those of the losses of single outputs, of which each part has a share.
        self._counts = {
            id(metric.variables[1]) for metric in keras_private.loss_metrics(model)
        }
        self._seeds = [generator.state for generator in randomness.generators(model)]
        # Parts of one size are one program.
        self._programs = {
            count: tf.function(self._part(count), jit_compile=True, autograph=False)
            for _, count in self._slices
        }
        self._update = tf.function(self._add_up, jit_compile=True, autograph=False)

    def problem(self, batch: Any) -> str:
        """Why it would not train as a step on the whole batch does; empty if it does.

        What slices of a batch do is looked at as on replicas.

        Args:
            batch: A full batch. Nothing is changed.
        """
        found = self._impossible()
        if found:
            return found
        try:
            keras_private.wrap_losses(self._model, GlobalLoss)
            scalar_means.weight_by_share(self._model)
            kept_programs.stable_names()
            traced = [p.get_concrete_function(*a) for p, a in self._calls(batch)]
            traced = list(dict.fromkeys(traced))
            for program in traced:
                names = xla_program.uncompilable(program)
                if names:
                    return f"XLA has no kernel for {', '.join(names)}"
            agreement = agreements.Agreement(traced, self._slices)
            if agreement.is_known():
                return ""
            compared = parity_check.compare(self._model, "train", batch, self._step)
            if compared.problems or compared.left_out:
                return "; ".join(compared.problems) or compared.left_out
            if not all(loss.by_row for loss in keras_private.flat_losses(self._model)):
                return _COUPLED  # It has to count the values of all parts.
            # What XLA refuses is seen here. In a graph: XLA compiles what is called
            # outside of one once more.
            tf.function(self._found, autograph=False)(batch)
        except all_reduce.CommunicatesInside:
            return _COUPLED
        except Exception as error:  # Of a user's own code too: once more, whole.
            return first_line(error)
        if compared.is_finite:
            agreement.remember()
        return ""

    def __call__(self, batch: Any) -> None:
        """Traces a step on a batch of `batch_size` rows."""
        loss = self._update(self._found(batch), self._rates.ahead(1))
        if loss is not None:
            step_loss.tell(loss)

    def _found(self, batch: Any) -> list[Found]:
        return [program(*arguments) for program, arguments in self._calls(batch)]

    def _impossible(self) -> str:
        model, step = self._model, self._step
        is_default = model.has_default_train_step and model.has_default_metrics
        if not is_default or step.view is None or step.free:
            return "the training step is not Keras' own"
        if step.micro_batches:
            return "gradients are accumulated"
        if len(self._slices) < 2:
            return "there is one core, or one example in a batch"
        names = [
            layer.name
            for layer in keras_private.all_layers(model)
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        ]
        # Keras' own would draw the same values for different rows.
        names += randomness.drawing_for_themselves(model)
        if names:
            return f"{', '.join(names)}: the rows of a batch depend on each other"
        return ""

    def _calls(self, batch: Any) -> list[tuple[Callable[..., Found], Any]]:
        """The program of each part, with its rows and where they begin."""
        calls = []
        for offset, count in self._slices:

            def rows(
                tensor: tf.Tensor, offset: int = offset, count: int = count
            ) -> tf.Tensor:
                found = tensor[offset : offset + count]
                found.set_shape([count, *tensor.shape[1:]])
                return found

            arguments = (
                nests.map_present(rows, batch),
                tf.constant(offset, tf.int64),
            )
            calls.append((self._programs[count], arguments))
        return calls

    def _part(self, count: int) -> Callable[[Any, tf.Tensor], Found]:
        """Computes so many rows, and changes nothing."""

        def compute(rows: Any, offset: tf.Tensor) -> Found:
            rows = keras_private.as_single_steps_see(self._model, rows)
            here = shard.Shard(
                size=tf.constant(self._batch_size, tf.int64),
                offset=offset,
                count=tf.constant(count, tf.int64),
                replicas=len(self._slices),
            )
            recorder = optimizer_view.Recorder()
            recorder.share = here.share
            zeros = [(v, tf.zeros(v.shape, v.dtype)) for v in self._metrics]
            with (
                keras_private.Aside(zeros) as scope,
                shard.at(here),
                optimizer_view.recording(recorder),
                as_optimizer(self._model, self._step.view),
                all_reduce.no_communication(),
                step_loss.collecting() as box,
                observations.collecting() as told,
            ):
                self._model.train_step(rows)
            self._refuse_other_state(scope)
            self._variables = recorder.variables
            gradients = list(recorder.gradients)
            self._halves = [half_range.was_half(g) for g in gradients]
            if not recorder.weighted:
                gradients = [here.weighted(g) for g in gradients]
            added = [scope.written(v) for v in self._metrics]
            seeds = [scope.written(v) for v in self._seeds]
            seen = observations.maxima(self._model, told)
            return gradients, added, seeds, box[-1] if box else None, seen

        return compute

    def _refuse_other_state(self, scope: keras_private.Aside) -> None:
        known = {id(v) for v in [*self._metrics, *self._seeds]}
        other = [
            v.path
            for v in self._model.variables
            if id(v) not in known and scope.written(v) is not None
        ]
        if other:
            raise RefusedError(f"a step changes {', '.join(other)}")

    def _add_up(self, found: list[Found], ahead: Ahead) -> tf.Tensor | None:
        gradients, added, seeds, losses, seen = zip(*found, strict=True)
        total = [_sum(each) for each in zip(*gradients, strict=True)]
        total = half_range.limited(total, self._halves)
        pairs = [
            (g, v) for g, v in zip(total, self._variables, strict=True) if g is not None
        ]
        total, variables = map(list, zip(*pairs, strict=True))
        total = private.finished(self._model, total, variables)
        with self._rates.given(ahead):
            self._step.view.apply(total, variables)
        # Of all parts, as of replicas.
        seen = [tf.stack(each) for each in zip(*seen, strict=True)]
        observations.take(self._model, seen)
        self._step.after_update()
        for variable, value in zip(self._metrics, self._added(added), strict=True):
            variable.value.assign_add(value)
        for variable, value in zip(self._seeds, seeds[0], strict=True):
            if value is not None:  # All parts draw from the same one.
                variable.value.assign(value)
        return None if losses[0] is None else tf.add_n(list(losses))

    def _added(self, of_parts: Sequence[list[tf.Tensor]]) -> list[tf.Tensor]:
        """What all parts add to each variable of the metrics."""
        return [
            values[0] if id(variable) in self._counts else tf.add_n(list(values))
            for variable, values in zip(
                self._metrics, zip(*of_parts, strict=True), strict=True
            )
        ]


def _sum(gradients: tuple[Any, ...]) -> Any:
    return None if gradients[0] is None else lockstep.add_up(gradients)
