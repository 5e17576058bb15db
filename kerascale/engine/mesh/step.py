"""One optimizer step as a pure function of the state and the global batch.

The program sees the global batch whole; what each device computes of it follows from
how variables and batches are cut.
"""

import copy
from collections.abc import Set
from typing import Any

import jax
import keras
from jax import numpy as jnp

from kerascale.engine.compat import keras_jax, keras_private
from kerascale.engine.mesh import outputs
from kerascale.engine.mesh.placement import Places
from kerascale.engine.mesh.remat import Recomputed
from kerascale.strategies.model_parallel import Remat

# Values of trainable, other, optimizer's and metrics' variables.
State = tuple[list[jax.Array], list[jax.Array], list[jax.Array], list[jax.Array]]


class Step:
    """The steps of a compiled, built and placed model.

    Args:
        model: Its loss, metrics and optimizer.
        places: Where everything lies.
        remat: What a training step computes again; see `strategies.get`.
    """

    def __init__(
        self, model: keras.Model, places: Places, remat: Remat = "none"
    ) -> None:
        self.model = model
        self.places = places
        # Whether anything is computed again.
        self.recomputes = remat != "none"
        self.trainable = list(model.trainable_variables)
        self.others = list(model.non_trainable_variables)
        optimizer = getattr(model, "optimizer", None)
        self.optimizer_variables = [] if optimizer is None else optimizer.variables
        self.metrics = list(model.metrics_variables)
        self._view = None if optimizer is None else keras_jax.view_of(optimizer)
        self._micro_batches = None
        if optimizer is not None:
            inner = keras_private.innermost(optimizer)
            self._micro_batches = inner.gradient_accumulation_steps
        self._used = places.used(self.trainable)
        in_use = {id(v): u for v, u in zip(self.trainable, self._used, strict=True)}
        self._recomputed = Recomputed(model, remat, in_use)

    def without_recomputation(self) -> "Step":
        """The same step, whose gradient keeps all that it needs."""
        plain = copy.copy(self)
        plain._recomputed, plain.recomputes = Recomputed(self.model, "none", {}), False
        return plain

    # ---------------------------------------------------------------- the state

    @property
    def variables(self) -> tuple[list[keras.Variable], ...]:
        """Whose values a state has."""
        return self.trainable, self.others, self.optimizer_variables, self.metrics

    def state(self) -> State:
        """The values of all variables."""
        return tuple(keras_jax.values_of(group) for group in self.variables)

    def shardings(self) -> tuple[list[Any], ...]:
        """How they lie."""
        return tuple(
            [keras_jax.layout_of(variable) for variable in group]
            for group in self.variables
        )

    def put(self, state: State) -> None:
        """Gives the variables their values."""
        for group, values in zip(self.variables, state, strict=True):
            keras_jax.put_values(group, values)

    # ---------------------------------------------------------------- the steps

    def train(self, state: State, batch: Any) -> tuple[State, jax.Array]:
        """The state after a batch, and the loss on it."""
        trainable, others, of_optimizer, metrics = state
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)

        def loss_of(trainable: list[jax.Array]) -> Any:
            return self.model.compute_loss_and_updates(
                self._in_use(trainable, but=self._recomputed.inside),
                others,
                metrics,
                x,
                y,
                weight,
                training=True,
                optimizer_variables=of_optimizer,
            )

        gradient = jax.value_and_grad(loss_of, has_aux=True)
        with outputs.put_together(self.places), self._recomputed.traced():
            (_, found), gradients = gradient(trainable)
        loss, y_pred, others, metrics = found
        gradients = self._laid(gradients, self.trainable)
        trainable, of_optimizer = self._apply(of_optimizer, gradients, trainable)
        trainable = self._laid(trainable, self.trainable)
        of_optimizer = self._laid(of_optimizer, self.optimizer_variables)
        metrics = keras_jax.update_metrics(
            self.model, metrics, loss, x, y, y_pred, weight
        )
        # A loss without reduction: what is told is its mean.
        return (trainable, list(others), of_optimizer, metrics), jnp.mean(loss)

    def test(self, state: State, batch: Any) -> tuple[State, jax.Array]:
        """The same in inference: nothing but metrics changes."""
        trainable, others, of_optimizer, metrics = state
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        with outputs.put_together(self.places):
            _, (loss, y_pred, _, metrics) = self.model.compute_loss_and_updates(
                self._in_use(trainable), others, metrics, x, y, weight, training=False
            )
        metrics = keras_jax.update_metrics(
            self.model, metrics, loss, x, y, y_pred, weight
        )
        return (trainable, others, of_optimizer, metrics), jnp.mean(loss)

    def predict(self, state: State, x: Any) -> Any:
        """What the model returns in inference."""
        trainable, others = state[:2]
        told = {"training": False} if keras_private.takes_training(self.model) else {}
        with outputs.put_together(self.places):
            y_pred, _ = self.model.stateless_call(
                self._in_use(trainable), others, x, **told
            )
        return y_pred

    def logs(self, state: State) -> dict[str, Any]:
        """Name -> value of every metric."""
        with keras.StatelessScope(list(zip(self.metrics, state[3], strict=True))):
            return dict(self.model.get_metrics_result())

    # ------------------------------------------------------------------- within

    def _in_use(
        self, trainable: list[jax.Array], but: Set[int] = frozenset()
    ) -> list[jax.Array]:
        """Values as a step computes with them: put together along the data axis.

        Args:
            trainable: As they lie.
            but: ids of variables whose values are put together where they are used.
        """
        return [
            value
            if layout is None or id(variable) in but
            else jax.lax.with_sharding_constraint(value, layout)
            for variable, value, layout in zip(
                self.trainable, trainable, self._used, strict=True
            )
        ]

    def _laid(
        self, values: list[jax.Array], variables: list[keras.Variable]
    ) -> list[jax.Array]:
        """Values that lie as variables do."""
        return [
            jax.lax.with_sharding_constraint(value, keras_jax.layout_of(variable))
            for value, variable in zip(values, variables, strict=True)
        ]

    def _apply(
        self,
        of_optimizer: list[jax.Array],
        gradients: list[jax.Array],
        trainable: list[jax.Array],
    ) -> tuple[list[jax.Array], list[jax.Array]]:
        if not self._micro_batches:
            return self._view.stateless_apply(of_optimizer, gradients, trainable)
        places = {id(v): i for i, v in enumerate(self.optimizer_variables)}
        optimizer, every = self.model.optimizer, self._micro_batches
        counter = places[id(keras_private.micro_batches(optimizer))]
        sums = keras_private.accumulators(optimizer)
        sums = [
            places[id(sums[keras_private.trainable_index(optimizer, v)])]
            for v in self.trainable
        ]
        of_optimizer = list(of_optimizer)
        for place, gradient in zip(sums, gradients, strict=True):
            of_optimizer[place] = of_optimizer[place] + gradient

        def update() -> tuple[list[jax.Array], list[jax.Array]]:
            means = [of_optimizer[place] / every for place in sums]
            new, after = self._view.stateless_apply(of_optimizer, means, trainable)
            after = list(after)
            for place in sums:
                after[place] = jnp.zeros_like(after[place])
            # An update that was skipped for an overflow did not count itself.
            after[counter] = after[counter] // every * every
            return new, after

        def keep() -> tuple[list[jax.Array], list[jax.Array]]:
            after = list(of_optimizer)
            after[counter] = after[counter] + 1
            return list(trainable), after

        due = (of_optimizer[counter] + 1) % every == 0
        return jax.lax.cond(due, update, keep)
