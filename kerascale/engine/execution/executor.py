"""Many steps in one compiled function."""

import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerascale.datasets import host_rows, nests
from kerascale.datasets.gathers import FromArrays
from kerascale.datasets.pipeline import Batches
from kerascale.engine.collectives import all_reduce, loop_shapes, replicas, stop_votes
from kerascale.engine.compat import tensorflow_private
from kerascale.engine.data import batch_checks, slices
from kerascale.engine.data.step_iterator import StepIterator
from kerascale.engine.execution import first_batch, test_loop
from kerascale.engine.execution.any_size import AnySize
from kerascale.engine.execution.compiled_loop import CompiledSteps
from kerascale.engine.execution.modes import Kind, Mode
from kerascale.engine.execution.replica_loop import CompiledReplicas
from kerascale.engine.execution.row_loops import RowLoops
from kerascale.engine.execution.short_epochs import ShortEpochs
from kerascale.engine.execution.split_loop import SplitSteps
from kerascale.engine.execution.step_logs import LOSSES, VOTES, StepLogs, as_scalar
from kerascale.engine.execution.xla_loop import ProgramSteps
from kerascale.engine.parity import check as parity_check
from kerascale.engine.step import step_loss
from kerascale.engine.step.own_logs import OwnLogs
from kerascale.engine.step.step import TrainStep
from kerascale.runtime.console import say

# Takes what `strategy.run` takes for one batch, returns logs for each replica.
Step = Callable[[Any], Any]


class Executor:
    """Runs steps of an iterator, and returns the logs of the last.

    Args:
        model: Compiled.
        step: One step, in cross-replica context.
        own: Sorts the logs of a step, if they are a user's; None: they are metrics.
        mode: How steps should be executed where batches are computed from their
            place: as one program, or each one split; None: in a loop.
        is_trial: Whether it is only tried, so that less is said.
        kind: What is shown of it before the first step on replicas; None: nothing.
    """

    def __init__(
        self,
        model: keras.Model,
        step: Step,
        own: OwnLogs | None,
        mode: Mode | None = None,
        is_trial: bool = False,
        kind: parity_check.Kind | None = None,
    ) -> None:
        self.model = model
        self.checked_kind = kind
        self.train_step = step if isinstance(step, TrainStep) else None
        self.strategy = model.distribute_strategy
        self.num_replicas = self.strategy.num_replicas_in_sync
        self.step = step
        self.own = own
        # None: elements are plain batches.
        self.ids: list[int] | None = None
        if replicas.is_distributed(self.strategy):
            self.ids = replicas.local_ids(self.strategy)
            stop_votes.variable()  # A graph in which it is made is traced twice.
        self.logs = StepLogs(model, own)
        self._last_batch: tuple[Batches, Callable] | None = None
        # The loss of each step of the last execution, where they are known.
        self.losses: tf.Tensor | None = None
        self._is_trial = is_trial
        # None: in a loop.
        self._compiled: CompiledSteps | None = None
        if mode is not None and mode.kind == "one_program":
            self._compiled = ProgramSteps(self, mode.steps)
        elif mode is not None and mode.kind == "split":
            self._compiled = SplitSteps(self)
        elif mode is not None and mode.kind == "compiled":
            self._compiled = CompiledReplicas(self)
        elif kind == "test" and self.ids is None and test_loop.can_be(model):
            self._compiled = test_loop.TestSteps(self)
        # The first graph in which a step was traced.
        self.step_graph: tf.Graph | None = None
        # Whether each step of batches that may differ has a call of its own.
        self.has_single_calls = False
        # Executions, and how long all but the first took: that one is traced.
        self.num_calls, self.seconds = 0, 0.0
        self._make()

    def _make(self) -> None:
        self._on_batch = self.graph(self.one)
        self._next = self.graph(self._one_of)
        self._short = ShortEpochs(self)
        self._one_by_one = self._short.run
        self._steps = self.graph(self.in_a_loop)
        self._rows = RowLoops(self)
        self._of_rows = self._rows.run_taken
        self._until_end = self.graph(self._unknown)
        if self.num_replicas > 1:
            self._any_size = AnySize(self, self.graph(self._of_any_size), self._next)
            one = self.graph(self._one_if_any)
            self._until_end = AnySize(self, self._until_end, one)

    def graph(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A graph of a function, unless the model shall run eagerly."""
        if self.model.run_eagerly:
            return function
        return tf.function(function, autograph=False, reduce_retracing=True)

    def __call__(self, iterator: Any) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            logs = self._execute(iterator)
        except tf.errors.OpError as error:
            raise host_rows.cause(error) or slices.refused(error) or error from None
        if self.num_calls:
            self.seconds += time.perf_counter() - began
        self.num_calls += 1
        return logs

    def _execute(self, iterator: Any) -> dict[str, Any]:
        if self.own is not None and self.num_replicas > 1:
            _ = self.own.metric_names  # Outside of the graph: it is a message to all.
        self.losses = None
        if self._compiled is not None and isinstance(iterator, StepIterator):
            logs = self._compiled(iterator)
            if logs is not None:
                return self._for_keras(logs)
        most = self.model.steps_per_execution
        full = self._full_steps(iterator, most)
        if not full:
            logs = self._call(*self._next_call(iterator, most), iterator=iterator)
            # Steps that were done before: Keras asks for names.
            return logs or dict.fromkeys(self.logs.names(), 0.0)
        parts = []
        for steps in (full, most - full):
            call = self._next_call(iterator, steps, in_a_loop=True)
            logs = self._call(*call, iterator=iterator)
            if logs is not None:
                parts.append((logs, self.losses))
        if not parts:
            return dict.fromkeys(self.logs.names(), 0.0)
        losses = [of_part for _, of_part in parts if of_part is not None]
        self.losses = tf.concat(losses, 0) if losses else None
        return parts[-1][0]

    def _full_steps(self, iterator: Any, most: int) -> int:
        """Steps in front of an epoch's smaller batch, which gets a call of its own.

        In one call of TensorFlow's all that replicas gather at one place must have one
        shape: rows of sparse gradients have not. 0: all are in one call.
        """
        batches = getattr(iterator, "batches", None)
        if self.num_replicas == 1 or batches is None or most == 1:
            return 0
        full = batches.num_whole_batches - iterator.next_batch
        has_smaller = batches.num_whole_batches < batches.steps_per_epoch
        return full if has_smaller and 0 < full < most else 0

    def _call(
        self, function: str | None, *arguments: Any, iterator: Any
    ) -> dict[str, Any] | None:
        """Calls what `_next_call` tells; None: there is nothing to be done."""
        if function is None:
            return None
        arguments = list(arguments)
        if function == "_of_rows":
            first_batch.show_place(self, iterator, lambda: self._rows.traced(iterator))
        elif self.num_replicas > 1 and function != "_on_batch":
            elements, given = getattr(iterator, "iterator", iterator), arguments.copy()
            trace = lambda first: self._traced(function, *given, first)  # noqa: E731
            arguments.append(first_batch.checked(self, elements, trace))
        try:
            # The function is another one where it turns out that it is not compiled.
            logs = self._compiled_or_not(lambda: getattr(self, function)(*arguments))
        except tf.errors.OutOfRangeError as error:
            raise RuntimeError(batch_checks.ENDED_EARLY) from error
        if function == "_until_end":
            logs, num_steps = logs
            if int(num_steps) == 0:
                raise StopIteration
        return self._for_keras(logs)

    def _for_keras(self, logs: dict[str, Any]) -> dict[str, Any]:
        """The logs, without what is not for Keras."""
        if VOTES in logs:
            stop_votes.heard(logs.pop(VOTES))
        self.losses = logs.pop(LOSSES, None)
        return logs

    def release(self) -> None:
        """Lets go of data in arrays: the next `fit` brings its own."""
        self._last_batch = None
        if self._compiled is not None:
            self._compiled.release()

    def is_of_mode(self, mode: Mode) -> bool:
        """Whether it executes so already."""
        if self._compiled is None:
            return mode.kind == "loop"
        return self._compiled.is_of_mode(mode)

    @property
    def kind(self) -> Kind:
        """How steps are executed; `loop` also where another kind has failed."""
        return "loop" if self._compiled is None else self._compiled.kind

    def give_up(self, reason: Exception | str) -> None:
        """Steps run in a loop from now on, and it is said why."""
        compiled, self._compiled = self._compiled, None
        if self._is_trial and not compiled.is_said_in_a_trial:
            return
        text = str(reason).strip().splitlines()[0] if str(reason).strip() else reason
        say(f"note: {compiled.given_up}: {str(text)[:300]}")

    def give_up_silently(self) -> None:
        """Steps run in a loop from now on, which is nobody's wish."""
        self._compiled = None

    def steps_of(self, iterator: StepIterator, steps: int) -> dict[str, Any]:
        """Runs so many steps in a loop."""
        return self._steps(iterator.iterator, tf.constant(steps, tf.int64))

    def step_of(self, iterator: StepIterator) -> dict[str, Any]:
        """Runs one step."""
        return self._next(iterator.iterator)

    def traced(self, iterator: StepIterator) -> Any:
        """The function that runs steps of an iterator, not run."""
        return self._compiled_or_not(lambda: self._traced_loop(iterator))

    def _traced_loop(self, iterator: StepIterator) -> Any:
        if self._rows.can_be(iterator):
            tensorflow_private.number_names_anew()
            return self._rows.traced(iterator)
        arguments = [iterator.iterator, tf.constant(1, tf.int64)]
        if self.num_replicas > 1:
            # As it would be named where it is run at once: see `first_batch`.
            tensorflow_private.number_names_anew()
            empty = tf.experimental.Optional.empty(iterator.iterator.element_spec)
            arguments.append(empty if self.checked_kind else None)
        return self._steps.get_concrete_function(*arguments)

    def _traced(self, function: str, *arguments: Any) -> Any:
        return getattr(self, function).get_concrete_function(*arguments)

    def trace_anew(self) -> None:
        """What was traced is not what shall run."""
        self._make()

    def traced_on(self, batch: Any) -> Any:
        """The function that runs one step on batches of a shape, not run.

        All workers call it: what communicates in a step is numbered as it is traced.
        """
        _, *arguments = self._next_call([batch])
        one = tf.function(self.one, autograph=False)
        return one.get_concrete_function(*arguments)

    def _next_call(
        self, iterator: Any, most: int = 1, in_a_loop: bool = False
    ) -> tuple[Any, ...]:
        """Which of the functions to call, and with what.

        Args:
            iterator: Of the data.
            most: Steps that it may run.
            in_a_loop: Whether one step is a loop too, as more are.
        """
        if isinstance(iterator, tf.data.Iterator):  # Of a generator, say.
            iterator = StepIterator(iterator, None, None)
        if not isinstance(iterator, StepIterator):  # Of `train_on_batch`.
            batch = next(iter(iterator))
            if self.ids is not None:
                batch = keras.utils.pack_x_y_sample_weight(*batch)
                batch = keras.tree.lists_to_tuples(batch)
                batch = nests.map_present(tf.convert_to_tensor, batch)
                kind = self.checked_kind
                if kind and parity_check.is_due(self.model, kind):
                    parity_check.check(self.model, kind, batch, self.train_step)
                batch = slices.cut(batch, self.ids, self.num_replicas)
            return "_on_batch", batch
        steps, most_at_once = iterator.take(most), self.model.steps_per_execution
        if steps is None:
            return "_until_end", iterator.iterator
        if steps == 0:
            return (None,)
        if self._short.can_be(iterator):
            return "_one_by_one", iterator, steps
        if most_at_once > 1 and self._rows.can_be(iterator):
            return "_of_rows", iterator, steps
        if steps == 1 and not in_a_loop:
            return "_next", iterator.iterator
        name = "_steps"
        if self.num_replicas > 1 and iterator.sizes_may_differ:
            name = "_any_size"
        return name, iterator.iterator, tf.constant(steps, tf.int64)

    def batch_of(self, batches: Batches) -> Callable[..., Any]:
        """A function of epoch and place: the batch there."""
        if self._last_batch is None or self._last_batch[0] is not batches:
            function = batches.batch
            if not isinstance(batches.gather, FromArrays):
                function = tf.function(function, autograph=False)
            self._last_batch = (batches, function)
        return self._last_batch[1]

    def _compiled_or_not(self, call: Callable[[], Any]) -> Any:
        """What is called; once more, not compiled, if its steps communicate inside."""
        try:
            return call()
        except all_reduce.CommunicatesInside:  # While it was traced: nothing was read.
            say(all_reduce.NOT_COMPILED)
            self.step.jit_compile = False
            self._make()
            return call()

    # ------------------------------------------------------------------- graphs

    def one(self, batch: Any) -> dict[str, Any]:
        """The graph of one step on an element of the feed; its logs."""
        return self.logs.of_one(lambda: self.logs.carried(self._run(batch)))

    def _one_of(
        self,
        iterator: tf.data.Iterator,
        first: tf.experimental.Optional | None = None,
    ) -> dict[str, Any]:
        return self.one(first_batch.following(iterator, first, True))

    def in_a_loop(
        self,
        iterator: tf.data.Iterator,
        steps: tf.Tensor,
        first: tf.experimental.Optional | None = None,
        run: Callable[[Any], Any] | None = None,
    ) -> dict[str, Any]:
        """The graph of so many steps, one after the other.

        Args:
            iterator: Of the feed.
            steps: int64 scalar.
            first: The batch that was read of it before; or none.
            run: Runs one on a batch, and returns its logs; None: as they are.
        """
        read = lambda i: first_batch.following(iterator, first, i == 0)  # noqa: E731
        return self.loop_of(read, iterator.element_spec, steps, run)

    def loop_of(
        self,
        read: Callable[[tf.Tensor], Any],
        spec: Any,
        steps: tf.Tensor,
        run: Callable[[Any], Any] | None = None,
    ) -> dict[str, Any]:
        """The same of batches that are read by their number.

        Args:
            read: Takes the number of a step, from 0; int64 scalar.
            spec: That of a batch.
            steps: As of `in_a_loop`.
            run: As of `in_a_loop`.
        """
        run = run or self._run
        has_losses = False

        def body(i: tf.Tensor, losses: Any, logs: Any) -> tuple[tf.Tensor, Any, Any]:
            with step_loss.collecting() as box:
                new = self.logs.carried(run(read(i)))
            if box:
                nonlocal has_losses
                has_losses = True
                losses = losses.write(tf.cast(i, tf.int32), as_scalar(box))
            return i + 1, losses, new if logs else logs

        _, losses, logs = tf.while_loop(
            lambda i, *_: i < steps,
            body,
            [
                tf.zeros_like(steps),
                tf.TensorArray(tf.float64, tf.cast(steps, tf.int32), element_shape=[]),
                self._initial(spec),
            ],
            parallel_iterations=1,
        )
        return self.logs.of(logs, losses.stack() if has_losses else None)

    def _of_any_size(
        self, iterator: tf.data.Iterator, steps: tf.Tensor, first: Any
    ) -> dict[str, Any]:
        loop_shapes.may_change()
        return self.in_a_loop(iterator, steps, first)

    def _one_if_any(self, iterator: tf.data.Iterator, first: Any) -> Any:
        return self._unknown(iterator, first, 1)

    def _unknown(
        self,
        iterator: tf.data.Iterator,
        first: tf.experimental.Optional | None = None,
        limit: int | None = None,
    ) -> tuple[dict[str, Any], tf.Tensor]:
        limit = limit or self.model.steps_per_execution
        if limit > 1:
            loop_shapes.may_change()

        def body(i: tf.Tensor, batch: Any, logs: Any) -> tuple[tf.Tensor, Any, Any]:
            new = self.logs.carried(self._run(batch.get_value()))
            following = tf.cond(
                i + 1 < limit,
                iterator.get_next_as_optional,
                lambda: tf.experimental.Optional.empty(iterator.element_spec),
            )
            return i + 1, following, new if logs else logs

        num, _, logs = tf.while_loop(
            lambda i, batch, _: batch.has_value(),
            body,
            [
                tf.constant(0),
                first_batch.following_if_any(iterator, first),
                self._initial(iterator.element_spec),
            ],
            parallel_iterations=1,
        )
        return self.logs.of(logs), num

    def _initial(self, spec: Any) -> dict[str, tf.Tensor]:
        return self.logs.initial(
            spec, lambda batch: self.logs.carried(self._run(batch))
        )

    def _run(self, batch: Any) -> Any:
        """One step on an element of the feed."""
        return self.step(self.item_of(batch))

    def item_of(self, batch: Any) -> Any:
        """An element of the feed, as a step takes it."""
        self.note_graph()
        if self.ids is None:
            return batch, None
        return replicas.per_replica(self.strategy, self.ids, batch)

    def note_graph(self) -> None:
        """Called where a step is traced."""
        if self.step_graph is None and not tf.executing_eagerly():
            self.step_graph = tf.compat.v1.get_default_graph()
