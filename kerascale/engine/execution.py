"""Many steps in one compiled function: what `fit` and `evaluate` call."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.console import say
from kerascale.datasets.pipeline import Batches, FromArrays
from kerascale.engine import (
    control,
    place,
    prepare,
    private_keras,
    reduce,
    replicas,
    slices,
    split,
    step_loss,
)
from kerascale.engine.chunk import Chunk, Part
from kerascale.engine.feed import StepIterator
from kerascale.engine.forms import Form, Kind
from kerascale.engine.step import TrainStep

# Takes what `strategy.run` takes for one batch, returns logs for each replica.
Step = Callable[[Any], Any]


# Among the logs of an execution, and taken out of them.
_WISHES = "_kerascale_wishes"
_LOSSES = "_kerascale_losses"

# An attribute of a model whose form of execution was set: for which compilation, and
# the kind of form.
_SET = "_kerascale_form"

# What XLA raises while it compiles, before anything was run.
_NOT_COMPILED = (
    tf.errors.InvalidArgumentError,
    tf.errors.UnimplementedError,
    tf.errors.NotFoundError,
    tf.errors.InternalError,
)


class Execution:
    """Runs steps of an iterator, and returns the logs of the last.

    Args:
        model: Compiled.
        step: One step, in cross-replica context.
        custom: Whether the logs of the step are those of a user's own step.
        form: How steps should be executed where batches are computed from their
            place: as one program, or each one split; None: in a loop.
        is_trial: Whether nobody wants to know why steps cannot be split.
    """

    def __init__(
        self,
        model: keras.Model,
        step: Step,
        custom: bool,
        form: Form | None = None,
        is_trial: bool = False,
    ) -> None:
        self.model = model
        self.strategy = model.distribute_strategy
        self.num_replicas = self.strategy.num_replicas_in_sync
        self.step = step
        self.custom = custom
        # None: elements are plain batches.
        self.ids: list[int] | None = None
        if replicas.is_distributed(self.strategy):
            self.ids = replicas.local_ids(self.strategy)
        self._metric_names: set[str] | None = None
        self._chunk: Chunk | None = None
        self._last_batch: tuple[Batches, Callable] | None = None
        # The loss of each step of the last execution, where they are known.
        self.losses: tf.Tensor | None = None
        is_program = form is not None and form.kind == "one_program"
        self._program_steps = form.steps if is_program else 0
        self._is_split = form is not None and form.kind == "split"
        self._is_trial = is_trial
        # Of which size of batch, and the step.
        self._split: tuple[int, split.SplitStep] | None = None
        # The first graph in which a step was traced.
        self.step_graph: tf.Graph | None = None
        self._make()

    def _make(self) -> None:
        graph = not self.model.run_eagerly
        self._on_batch = self._one
        self._next = self._one_of
        self._steps = self._known
        self._split_steps = self._known_split
        self._until_end = self._unknown
        if graph:
            wrap = tf.function(autograph=False, reduce_retracing=True)
            self._on_batch = wrap(self._one)
            self._next = wrap(self._one_of)
            self._steps = wrap(self._known)
            self._split_steps = wrap(self._known_split)
            self._until_end = wrap(self._unknown)

    def __call__(self, iterator: Any) -> dict[str, Any]:
        if self.custom and self.num_replicas > 1:
            self._names()  # Outside of the graph: it is a message to all workers.
        self.losses = None
        if self._program_steps and isinstance(iterator, StepIterator):
            logs = self._computed(iterator)
            if logs is not None:
                return logs
        if self._is_split and isinstance(iterator, StepIterator):
            logs = self._in_parts(iterator)
            if logs is not None:
                return logs
        function, *arguments = self._next_call(iterator)
        if function is None:  # Steps that were done before: Keras asks for names.
            return dict.fromkeys(self._names(), 0.0)
        try:
            logs = getattr(self, function)(*arguments)
        except reduce.CommunicatesInside:  # While it was traced: nothing was read.
            self._do_not_compile()
            logs = getattr(self, function)(*arguments)
        except tf.errors.OutOfRangeError as error:
            raise RuntimeError(
                "data: expected as many batches as steps were asked for, or as the "
                "dataset says that it has. Received: fewer. Repeat the data "
                "(dataset.repeat()), or ask for fewer steps."
            ) from error
        if function == "_until_end":
            logs, num_steps = logs
            if int(num_steps) == 0:
                raise StopIteration
        if _WISHES in logs:
            control.heard(logs.pop(_WISHES))
        self.losses = logs.pop(_LOSSES, None)
        return logs

    def release(self) -> None:
        """Lets go of data in arrays: the next `fit` brings its own."""
        self._last_batch = None
        if self._chunk is not None:
            self._chunk.release()

    def is_of_form(self, form: Form) -> bool:
        """Whether it executes so already."""
        steps = form.steps if form.kind == "one_program" else 0
        is_split = form.kind == "split"
        return (self._program_steps, self._is_split) == (steps, is_split)

    @property
    def is_one_program(self) -> bool:
        """Whether steps are compiled as one; False also if that failed."""
        return self._program_steps > 0

    @property
    def is_split(self) -> bool:
        """Whether batches are split; False also if that failed."""
        return self._is_split

    def traced(self, iterator: StepIterator) -> Any:
        """The function that runs steps of an iterator, not run."""
        return self._steps.get_concrete_function(
            iterator.iterator, tf.constant(1, tf.int64)
        )

    def traced_on(self, batch: Any) -> Any:
        """The function that runs one step on batches of a shape, not run.

        All workers call it: what communicates in a step is numbered as it is traced.
        """
        _, *arguments = self._next_call([batch])
        one = tf.function(self._one, autograph=False)
        return one.get_concrete_function(*arguments)

    def _computed(self, iterator: StepIterator) -> dict[str, Any] | None:
        """An execution as one program; None, and nothing is done, if it cannot be."""
        batches, first = iterator.batches, iterator.place
        if batches is None:
            # Silent where `compile` was told so, which means each step then.
            if _form_set(self.model) is not None:
                self._do_not_compute("the data is neither arrays nor read by index")
            return None
        num_full = batches.num_examples // batches.batch_size
        is_first = self._chunk is None
        if is_first:
            self._chunk = self._make_chunk()
            part = Part(batches, iterator.epoch, first, 1)
            if num_full and self._fails(lambda: self._chunk.problem(part)):
                return None
        steps = iterator.take(self.model.steps_per_execution)
        if steps == 0:
            return dict.fromkeys(self._names(), 0.0)
        full = max(0, min(steps, num_full - first))
        logs, losses = {}, []
        # More than one where `steps_per_execution` was raised since.
        for done in range(0, full, self._program_steps):
            now = min(full - done, self._program_steps)
            part = Part(batches, iterator.epoch, first + done, now)
            try:
                logs, values = self._chunk(part)
            except _NOT_COMPILED as error:
                if not is_first or done:
                    raise
                self._do_not_compute(error)
                # The same steps, of which none was done.
                logs = self._steps(iterator.iterator, tf.constant(steps, tf.int64))
                self.losses = logs.pop(_LOSSES, None)
                return logs
            losses.append(values[:now])
        if full < steps:  # The smaller one at the end of an epoch.
            last = tf.constant(first + full, tf.int64)
            logs = self._on_last(self._batch_of(batches)(iterator.epoch, last))
            losses.append(logs.pop(_LOSSES, tf.zeros([0], tf.float64)))
        self.losses = tf.concat(losses, 0)
        return logs

    def _in_parts(self, iterator: StepIterator) -> dict[str, Any] | None:
        """An execution of split steps; None, and nothing is done, if it cannot be."""
        batches, first = iterator.batches, iterator.place
        if batches is None:
            if _form_set(self.model) is not None:
                self._do_not_split("the data is neither arrays nor read by index")
            return None
        num_full = batches.num_examples // batches.batch_size
        if num_full and (self._split is None or self._split[0] != batches.batch_size):
            size = batches.batch_size
            step = split.SplitStep(self.model, size, split.num_parts(size))
            batch = self._batch_of(batches)(iterator.epoch, tf.constant(0, tf.int64))
            problem = step.problem(batch)
            if problem:
                self._do_not_split(problem)
                return None
            self._split = (size, step)
        steps = iterator.take(self.model.steps_per_execution)
        if steps == 0:
            return dict.fromkeys(self._names(), 0.0)
        full = max(0, min(steps, num_full - first))
        logs, losses = {}, []
        if full:
            count = tf.constant(full, tf.int64)
            logs = self._split_steps(iterator.iterator, count)
            losses.append(logs.pop(_LOSSES))
        if full < steps:  # The smaller one at the end of an epoch.
            logs = self._next(iterator.iterator)
            losses.append(logs.pop(_LOSSES, tf.zeros([0], tf.float64)))
        self.losses = tf.concat(losses, 0)
        return logs

    def _do_not_split(self, reason: str) -> None:
        if not self._is_trial:
            say(f"note: steps are not split, but run as they are: {reason[:300]}")
        self._is_split, self._split = False, None

    def _make_chunk(self) -> Chunk:
        plain = TrainStep(self.model, self.custom)
        plain.jit_compile = False  # The whole is compiled.

        def step(batch: Any) -> dict[str, tf.Tensor]:
            self._note_graph()
            batch = private_keras.as_single_steps_see(self.model, batch)
            return self._carried(plain((batch, None)))

        # Not by XLA, which would take longer to compile it than it saves.
        self._on_last = tf.function(
            lambda batch: self._with_loss(lambda: step(batch)), autograph=False
        )
        return Chunk(
            step,
            lambda spec: self._initial(spec, step),
            self._logs,
            self._program_steps,
        )

    def _names(self) -> set[str]:
        if self._metric_names is None:
            self._metric_names = set(self.model.get_metrics_result())
        return self._metric_names

    def _next_call(self, iterator: Any) -> tuple[Any, ...]:
        """Which of the functions to call, and with what."""
        if isinstance(iterator, tf.data.Iterator):  # Of a generator, say.
            iterator = StepIterator(iterator, None, None)
        if not isinstance(iterator, StepIterator):  # Of `train_on_batch`.
            batch = next(iter(iterator))
            if self.ids is not None:
                batch = keras.utils.pack_x_y_sample_weight(*batch)
                batch = tf.nest.map_structure(tf.convert_to_tensor, batch)
                batch = slices.cut(batch, self.ids, self.num_replicas)
            return "_on_batch", batch
        steps = iterator.take(self.model.steps_per_execution)
        if steps is None:
            return "_until_end", iterator.iterator
        if steps == 0:
            return (None,)
        if steps == 1:
            return "_next", iterator.iterator
        return "_steps", iterator.iterator, tf.constant(steps, tf.int64)

    def _batch_of(self, batches: Batches) -> Callable[..., Any]:
        if self._last_batch is None or self._last_batch[0] is not batches:
            function = batches.batch
            if not isinstance(batches.gather, FromArrays):
                function = tf.function(function, autograph=False)
            self._last_batch = (batches, function)
        return self._last_batch[1]

    def _fails(self, problem: Callable[[], str]) -> bool:
        """Whether there is a problem, which is said."""
        try:
            found = problem()
        except Exception as error:  # Of a user's own code too: once more, outside.
            found = error
        if found:
            self._do_not_compute(found)
        return bool(found)

    def _do_not_compute(self, reason: Exception | str) -> None:
        text = str(reason).strip().splitlines()[0] if str(reason).strip() else reason
        say(
            "note: the steps of an execution are not compiled as one program, but run "
            f"one after the other: {str(text)[:300]}"
        )
        self._program_steps, self._chunk = 0, None

    def _do_not_compile(self) -> None:
        say(
            "jit_compile: the step is not compiled by XLA, because it communicates "
            "with other replicas inside (batch statistics, or a masked or weighted "
            "loss)."
        )
        self.step.jit_compile = False
        self._make()

    # ------------------------------------------------------------------- graphs

    def _one(self, batch: Any) -> dict[str, Any]:
        return self._with_loss(lambda: self._carried(self._run(batch)))

    def _one_of(self, iterator: tf.data.Iterator) -> dict[str, Any]:
        return self._one(iterator.get_next())

    def _known_split(
        self, iterator: tf.data.Iterator, steps: tf.Tensor
    ) -> dict[str, Any]:
        size, step = self._split

        def run(batch: Any) -> dict[str, Any]:
            for tensor in tf.nest.flatten(batch):
                tensor.set_shape([size, *tensor.shape[1:]])
            step(batch)
            return {}

        return self._known(iterator, steps, run)

    def _known(
        self,
        iterator: tf.data.Iterator,
        steps: tf.Tensor,
        run: Callable[[Any], Any] | None = None,
    ) -> dict[str, Any]:
        run = run or self._run
        told = False

        def body(i: tf.Tensor, losses: Any, logs: Any) -> tuple[tf.Tensor, Any, Any]:
            with step_loss.collecting() as box:
                new = self._carried(run(iterator.get_next()))
            if box:
                nonlocal told
                told = True
                losses = losses.write(tf.cast(i, tf.int32), _scalar(box))
            return i + 1, losses, new if logs else logs

        _, losses, logs = tf.while_loop(
            lambda i, *_: i < steps,
            body,
            [
                tf.zeros_like(steps),
                tf.TensorArray(tf.float64, tf.cast(steps, tf.int32), element_shape=[]),
                self._initial(iterator.element_spec),
            ],
            parallel_iterations=1,
        )
        return self._logs(logs, losses.stack() if told else None)

    def _unknown(self, iterator: tf.data.Iterator) -> tuple[dict[str, Any], tf.Tensor]:
        limit = self.model.steps_per_execution

        def body(i: tf.Tensor, batch: Any, logs: Any) -> tuple[tf.Tensor, Any, Any]:
            new = self._carried(self._run(batch.get_value()))
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
                iterator.get_next_as_optional(),
                self._initial(iterator.element_spec),
            ],
            parallel_iterations=1,
        )
        return self._logs(logs), num

    def _run(self, batch: Any) -> Any:
        """One step on an element of the feed."""
        self._note_graph()
        if self.ids is None:
            item = (batch, None)
        else:
            item = replicas.per_replica(self.strategy, self.ids, batch)
        return self.step(item)

    def _note_graph(self) -> None:
        if self.step_graph is None and not tf.executing_eagerly():
            self.step_graph = tf.compat.v1.get_default_graph()

    # --------------------------------------------------------------------- logs

    def _carried(self, logs: Any) -> dict[str, tf.Tensor]:
        """Logs of a user's own step that are no metrics, over all replicas."""
        if not self.custom or not isinstance(logs, dict):
            return {}
        # Of a guide of Keras: `{m.name: m.result() for m in self.metrics}`, in which
        # the compiled ones are a dict of their own.
        flat = {}
        for name, value in logs.items():
            flat |= value if isinstance(value, dict) else {name: value}
        logs = {name: v for name, v in flat.items() if name not in self._names()}
        if self.num_replicas > 1 and logs:
            logs = {k: self.strategy.reduce("MEAN", v, None) for k, v in logs.items()}
        return {name: tf.convert_to_tensor(v) for name, v in logs.items()}

    def _initial(
        self, spec: Any, step: Callable[[Any], Any] | None = None
    ) -> dict[str, tf.Tensor]:
        if not self.custom:
            return {}
        # What the step returns is known once it has been traced.
        traced = tf.function(
            step or (lambda batch: self._carried(self._run(batch))), autograph=False
        ).get_concrete_function(spec)
        return {
            name: tf.zeros(spec.shape, spec.dtype)
            for name, spec in traced.structured_outputs.items()
        }

    def _with_loss(self, step: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The logs of one step."""
        with step_loss.collecting() as box:
            carried = step()
        return self._logs(carried, _scalar(box)[None] if box else None)

    def _logs(
        self, carried: dict[str, Any], losses: tf.Tensor | None = None
    ) -> dict[str, Any]:
        with control.collecting() as wishes:
            logs = {**self.model.get_metrics_result(), **carried}
        if losses is not None:
            logs[_LOSSES] = losses
        return {**logs, _WISHES: wishes[0]} if wishes else logs


def _scalar(box: list[tf.Tensor]) -> tf.Tensor:
    """The loss of a step that has told it."""
    return tf.cast(box[-1], tf.float64)


def train(model: keras.Model, custom: bool) -> Execution:
    """The function that `fit` calls for an execution."""
    form = Form(kind(model), model.steps_per_execution)
    if form.kind == "loop" and _form_set(model) not in (None, "loop"):
        say(
            "note: steps are one program of XLA, or split, on one device only; here "
            "they run in a loop."
        )
    return Execution(model, TrainStep(model, custom), custom, form)


def trial_of(model: keras.Model, form: Form) -> Execution:
    """Like `train`, of a form of execution that `model` need not have."""
    custom = not model.has_default_train_step
    return Execution(model, TrainStep(model, custom), custom, form, is_trial=True)


def set_form(model: keras.Model, form: Form) -> None:
    """Until the next `compile`, `fit` executes steps in this form."""
    model.steps_per_execution = form.steps
    vars(model)[_SET] = (private_keras.compilation(model), form.kind)
    made = model.train_function
    if not isinstance(made, Execution) or not made.is_of_form(form):
        model.train_function = None


def form_of(model: keras.Model) -> Form:
    """The form in which the last `fit` of a model executed its steps."""
    function, kind = model.train_function, "loop"
    if isinstance(function, Execution) and function.is_one_program:
        kind = "one_program"
    elif isinstance(function, Execution) and function.is_split:
        kind = "split"
    return Form(kind, model.steps_per_execution)


def release(model: keras.Model) -> None:
    """After a `fit`: lets go of its data."""
    if isinstance(model.train_function, Execution):
        model.train_function.release()


def kind(model: keras.Model) -> Kind:
    """The kind of form in which steps are executed.

    `steps_per_execution` and `jit_compile=True` together ask for one program.
    """
    if model.run_eagerly or replicas.is_distributed(model.distribute_strategy):
        return "loop"
    before = _form_set(model)
    if before is not None:
        return before
    many = model.jit_compile and model.steps_per_execution > 1
    return "one_program" if many else "loop"


def is_told(model: keras.Model) -> bool:
    """Whether `compile`, or `set_form` since, has said how steps are executed."""
    return _form_set(model) is not None or model.steps_per_execution > 1


def _form_set(model: keras.Model) -> Kind | None:
    compilation, kind = vars(model).get(_SET, (None, None))
    return kind if compilation is private_keras.compilation(model) else None


def gathers_itself(model: keras.Model) -> bool:
    """Whether steps gather their batches in their own program: none is waited for."""
    function = model.train_function
    return isinstance(function, Execution) and function.is_one_program


def step_losses(model: keras.Model) -> np.ndarray | None:
    """The loss of each step of the last execution; None where they are not known.

    They are where there is one replica, and its training step is Keras' own.
    """
    losses = getattr(model.train_function, "losses", None)
    return None if losses is None or not len(losses) else losses.numpy()


def test(model: keras.Model, custom: bool) -> Execution:
    """The function that `evaluate` calls for an execution."""
    strategy = model.distribute_strategy
    num_replicas = strategy.num_replicas_in_sync

    def one(item: Any) -> Any:
        data, where = item
        here = place.of(where, num_replicas)
        with place.at(here), prepare.only_if_counted(model):
            return model.test_step(data)

    return Execution(model, lambda item: replicas.run(strategy, one, item), custom)
