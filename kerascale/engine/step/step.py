"""One optimizer step: gradients of a slice, one reduction, one update."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.collectives import (
    all_reduce,
    lockstep,
    narrow,
    packing,
    replicas,
    shared_memory,
)
from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard
from kerascale.engine.step import (
    build,
    half_range,
    observations,
    optimizer_view,
    randomness,
    shared_update,
    step_loss,
)
from kerascale.engine.step.own_logs import OwnLogs
from kerascale.engine.step.private import method as private
from kerascale.engine.step.schedule_rates import Ahead, Rates

# A replica's part of a batch: the data, and (size, offset, count) of its slice.
Item = tuple[Any, tf.Tensor | None]


class TrainStep:
    """The step of a compiled, built model, for every kind of strategy.

    Args:
        model: Its `train_step` computes losses and gradients and hands them to its
            optimizer once.
        own: Sorts the logs that it returns, if they are a user's; None: they are
            metrics.
    """

    def __init__(self, model: keras.Model, own: OwnLogs | None = None) -> None:
        self.model = model
        self.strategy = model.distribute_strategy
        self.replicas = self.strategy.num_replicas_in_sync
        self.optimizer = model.optimizer
        self.view = None
        self.micro_batches = None
        if self.optimizer is not None:
            inner = keras_private.innermost(self.optimizer)
            self.micro_batches = inner.gradient_accumulation_steps
            self.view = optimizer_view.optimizer_view(self.optimizer)
        self._compiled: dict[tuple[str, int], Callable] = {}
        # On one replica a step of the user's own may do as it likes, and parts of an
        # optimizer may accumulate.
        several = isinstance(self.optimizer, keras.optimizers.MultiOptimizer)
        # Metrics of a user's own may look at weights, which are those after the update.
        custom = not (model.has_default_train_step and model.has_default_metrics)
        self.free = (
            (custom or several) and self.replicas == 1 and not self.micro_batches
        )
        # On several it is reduced and applied where it says so; unset where it was
        # seen that nothing in it depends on that.
        self.is_custom = custom
        self.updates_inside = custom and self.replicas > 1 and not self.micro_batches
        # Of gradients that do not exist.
        self._warned = False
        self._own = own
        self._rates = Rates(model)
        # In which gradients travel.
        self._dtype = getattr(model, "all_reduce_dtype", "gradient")
        # Whether workers may share an update, in a loop that calls `hand_over`.
        self.shares_update = False
        self._shared: shared_update.SharedUpdate | None = None
        # Unset where compiling turns out to be impossible.
        self.jit_compile = model.jit_compile and not model.run_eagerly
        if self.optimizer is not None:
            narrow.refuse_unknown(self._dtype)
            shared_memory.connect(self.strategy)

    def __call__(self, item: Any) -> Any:
        """Runs the step in cross-replica context.

        Args:
            item: What `strategy.run` takes: an `Item` for each replica.

        Returns:
            The logs of `train_step`, for each replica.
        """
        if self.view is None or self.free:
            plain = self._jit("plain", self._plain) if self.jit_compile else self._plain
            return self._run(plain, item)
        with optimizer_view.as_optimizer(self.model, self.view):
            if self.updates_inside:
                return self._run(self._updating, item)
            if not self.micro_batches:
                return self._run(self._step, item)
            logs = self._run(self._accumulate, item)
        counter = keras_private.micro_batches(self.optimizer)
        due = tf.equal((counter.value + 1) % self.micro_batches, 0)
        # A loop of one turn: a collective cannot stand under a condition.
        tf.while_loop(
            lambda pending: pending,
            self._update_once,
            [due],
            parallel_iterations=1,
        )
        with tf.control_dependencies([due]):
            replicas.run(self.strategy, self._count, due)
        return logs

    def _run(self, function: Callable[[Item], Any], item: Any) -> Any:
        """Runs it on each replica; the loss is told that those here add up to."""

        def inside(item: Item) -> tuple[Any, list[tf.Tensor]]:
            with step_loss.collecting() as box:
                logs = function(item)
            return logs, box[-1:]

        logs, losses = replicas.run(self.strategy, inside, item)
        for loss in losses:
            step_loss.tell(tf.add_n(self.strategy.experimental_local_results(loss)))
        return logs

    def _plain(self, item: Item) -> Any:
        data, where = item
        here = shard.of(where, self.replicas)
        with shard.at(here), build.in_replica(self.model):
            with observations.collecting() as box:
                logs = self._logs(self.model.train_step(data))
        # Of one replica; or of a model that nobody trains.
        if self.replicas == 1:
            observations.take(self.model, observations.maxima(self.model, box))
        self.after_update()
        return logs

    def _logs(self, logs: Any) -> Any:
        return logs if self._own is None else self._own.kept(logs)

    # ------------------------------------------------ a step that updates inside

    def _updating(self, item: Item) -> Any:
        """A step of a user's own, whose `optimizer.apply` updates at once."""
        data, where = item
        here = shard.of(where, self.replicas)
        with optimizer_view.recording(self.recorder(here)), shard.at(here):
            with build.in_replica(self.model), observations.collecting() as box:
                logs = self._logs(self.model.train_step(data))
        self._observe(box)
        self.after_update()
        return logs

    def _observe(self, box: observations.Box) -> None:
        """Gives the model's observer the maxima over all replicas."""
        observations.take(self.model, shared_memory.all_reduce(self._seen(box)))

    def _seen(self, box: observations.Box) -> list[tf.Tensor]:
        found = observations.maxima(self.model, box)
        return observations.spread(found, self.replicas)

    def recorder(self, here: shard.Shard | None) -> optimizer_view.Recorder:
        """What reduces gradients and updates where a step asks for it."""
        recorder = optimizer_view.Recorder()
        if here is not None:
            recorder.share = here.share

        def update(view: Any, gradients: list[Any], variables: list[Any]) -> None:
            pairs = [
                (as_shaped(gradient, variable), variable)
                for gradient, variable in zip(gradients, variables, strict=True)
                if gradient is not None
            ]
            gradients = [gradient for gradient, _ in pairs]
            halves = [half_range.was_half(g) for g in gradients]
            if here is not None and not recorder.weighted:
                gradients = [here.weighted(g) for g in gradients]
            # The next loss is weighted, or not, for itself.
            recorder.weighted = False
            total = half_range.limited(self._all_reduce(gradients), halves)
            optimizer_view.apply_now(view, total, [variable for _, variable in pairs])

        recorder.update = update
        return recorder

    def after_update(self) -> None:
        """Calls what a user's model does behind the update, on each replica."""
        hook = getattr(self.model, "after_update", None)
        if hook is not None:
            with randomness.unseeded(self.model):
                hook()

    # ---------------------------------------------------- without accumulation

    def _step(self, item: Item) -> Any:
        if self.replicas == 1 and self.jit_compile:
            return self._jit("step", self._step_inside)(item)
        return self._step_inside(item)

    def _step_inside(self, item: Item) -> Any:
        if self.jit_compile and self.replicas > 1:
            return self._step_of_programs(item)
        with observations.collecting() as box:
            gradients, logs = self._compute(item)
        if gradients:
            seen = self._seen(box)
            gradients, seen = self._all_reduce_both(gradients, seen)
            if self.replicas > 1:
                gradients = half_range.limited(gradients, self._halves)
            self._update(gradients)
            observations.take(self.model, seen)
        return logs

    def _step_of_programs(self, item: Item) -> Any:
        """The same in two programs of XLA, between which gradients are summed."""

        def compute(item: Item) -> tuple[list[Any], Any]:
            gradients, logs = self._compute(item)
            self._packing = packing.Packing(gradients)
            self._gradients = gradients  # Traced: of their dtypes and shapes.
            return self._packing.pack(gradients), logs

        def update(terms: list[list[Any]], ahead: Ahead) -> tf.Tensor:
            total = [
                lockstep.add_up(each) if len(each) > 1 else each[0]
                for each in zip(*terms, strict=True)
            ]
            gradients = half_range.limited(self._packing.unpack(total), self._halves)
            self._update_at(gradients, ahead)
            return tf.zeros([], tf.int64)

        with observations.collecting() as box:
            packed, logs = self._jit("compute", compute)(item)
        if not packed:
            return logs
        seen, both = self._seen(box), None
        self._shared = None if seen else self._sharing()
        if self._shared is not None:
            ahead = self._rates.ahead(1)
            self._shared.run(packed, ahead, self._jit, self._update_of)
            return logs
        if not seen and self._dtype == "gradient":
            both = shared_memory.of_both(packed)
        if both is None:
            packed, seen = self._all_reduce_both(packed, seen)
        is_done = self._jit("update", update)(both or [packed], self._rates.ahead(1))
        if both is not None:
            shared_memory.have_been_read(is_done)
        observations.take(self.model, seen)
        return logs

    def _sharing(self) -> shared_update.SharedUpdate | None:
        """How workers share the update; None: each makes all of it."""
        if not self.shares_update or self._dtype != "gradient":
            return None
        hook = getattr(self.model, "after_update", None)
        has_more = hook is not None or private.of(self.model) is not None
        if has_more or not shared_update.can_be(
            self.optimizer, self._gradients, self._variables
        ):
            return None
        rank = replicas.worker_index(self.strategy)
        found = shared_update.SharedUpdate(
            self.optimizer, self._packing, self._variables, rank
        )
        return found if found.is_even else None

    def _update_of(
        self, gradients: list[tf.Tensor], places: list[int], ahead: Ahead
    ) -> None:
        """Of some variables, by their places."""
        halves = [self._halves[i] for i in places]
        gradients = half_range.limited(gradients, halves)
        with self._rates.given(ahead):
            self.view.apply(gradients, [self._variables[i] for i in places])

    def hand_over(self) -> None:
        """Behind a loop of steps: has both workers take what the other has kept.

        In cross-replica context; all that was traced of the loop stands before it.
        """
        if self._shared is not None:
            replicas.run(self.strategy, self._shared.hand_over)

    def end_within_a_loop(self) -> None:
        """After an error in a loop: workers that shared updates train no further."""
        if self._shared is not None:
            shared_memory.give_up(
                self.strategy,
                "an execution ended with an error, and what the optimizer keeps is not "
                "whole: of each variable one worker has the last of it. Begin again, "
                "with a checkpoint.",
            )

    def _update_by(self, gradients: list[tf.Tensor], compiled: bool) -> None:
        if compiled:
            self._jit("update", self._update_at)(gradients, self._rates.ahead(1))
        else:
            self._update(gradients)

    def _update_at(self, gradients: list[tf.Tensor], ahead: Ahead) -> None:
        with self._rates.given(ahead):
            self._update(gradients)

    def _update(self, gradients: list[tf.Tensor]) -> None:
        gradients = private.finished(self.model, gradients, self._variables)
        self.view.apply(gradients, self._variables)
        self.after_update()

    # ------------------------------------------------------- with accumulation

    def _accumulate(self, item: Item) -> Any:
        def inside(item: Item) -> Any:
            gradients, logs = self._compute(item)
            sums = keras_private.accumulators(self.optimizer)
            for variable, gradient in zip(self._variables, gradients, strict=True):
                index = keras_private.trainable_index(self.optimizer, variable)
                sums[index].value.assign_add(gradient)
            return logs

        if self.jit_compile:
            inside = self._jit("compute", inside)
        with observations.collecting() as box:
            logs = inside(item)
        self._observe(box)
        return logs

    def _update_once(self, pending: tf.Tensor) -> list[tf.Tensor]:
        del pending
        replicas.run(self.strategy, self._update_from_sums)
        return [tf.constant(False)]

    def _update_from_sums(self) -> None:
        all_sums = keras_private.accumulators(self.optimizer)
        sums = [
            all_sums[keras_private.trainable_index(self.optimizer, v)]
            for v in self._variables
        ]
        total = self._all_reduce([s.value.read_value() for s in sums])

        means = [t / self.micro_batches for t in total]
        self._update_by(means, self.jit_compile)
        for variable in sums:
            variable.value.assign(tf.zeros_like(variable.value))

    def _count(self, due: tf.Tensor) -> None:
        counter = keras_private.micro_batches(self.optimizer)
        k = self.micro_batches
        now = counter.value.read_value()
        # An update that was skipped for an overflow did not count itself, and its
        # micro-batches are dropped.
        counter.value.assign(tf.where(due, now // k * k, now + 1))

    # --------------------------------------------------------------- both

    def _all_reduce(self, gradients: list[Any]) -> list[Any]:
        return narrow.all_reduce(gradients, self._dtype)

    def _all_reduce_both(
        self, gradients: list[Any], seen: list[tf.Tensor]
    ) -> tuple[list[Any], list[tf.Tensor]]:
        """At once, unless gradients are rounded: extremes never are."""
        if self._dtype != "gradient":
            return self._all_reduce(gradients), shared_memory.all_reduce(seen)
        total = self._all_reduce([*gradients, *seen])
        return total[: len(gradients)], total[len(gradients) :]

    def _compute(self, item: Item) -> tuple[list[tf.Tensor], Any]:
        data, where = item
        here = shard.of(where, self.replicas)
        recorder = optimizer_view.Recorder()
        if here is not None:
            recorder.share = here.share
        with (
            shard.at(here),
            optimizer_view.recording(recorder),
            build.in_replica(self.model),
        ):
            logs = self._logs(self.model.train_step(data))
        if recorder.gradients is None:
            self._variables = []
            return [], logs
        pairs = [
            (gradient, variable)
            for gradient, variable in zip(
                recorder.gradients, recorder.variables, strict=True
            )
            if gradient is not None
        ]
        self._variables = [variable for _, variable in pairs]
        self._warned = self._warned or optimizer_view.warn_of_missing(recorder)
        gradients = [gradient for gradient, _ in pairs]
        self._halves = [half_range.was_half(gradient) for gradient in gradients]
        if self.micro_batches:
            gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        # Shapes that tracing may have lost are needed for packing.
        gradients = [
            as_shaped(gradient, variable)
            for gradient, (_, variable) in zip(gradients, pairs, strict=True)
        ]
        if recorder.share is not None and not recorder.weighted:
            gradients = [here.weighted(g) for g in gradients]
        return gradients, logs

    def _jit(self, name: str, function: Callable) -> Callable:
        """The function compiled by XLA, for each replica with its own variables."""
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group
        if tf.is_tensor(replica):
            replica = int(tf.get_static_value(replica))
        key = (name, replica)
        if key not in self._compiled:

            def inside(*args: Any) -> Any:
                with all_reduce.no_communication():
                    return function(*args)

            if self.replicas == 1:
                inside = function

            def compiled(f: Callable) -> Callable:
                return tf.function(
                    f, jit_compile=True, autograph=False, reduce_retracing=True
                )

            self._compiled[key] = step_loss.handed_out(
                inside, lambda f: observations.handed_out(f, compiled)
            )
        return self._compiled[key]


def as_shaped(gradient: Any, variable: keras.Variable) -> Any:
    """A gradient with its shape, which tracing may have lost."""
    if isinstance(gradient, tf.IndexedSlices):
        return gradient
    return tf.reshape(gradient, variable.shape)
