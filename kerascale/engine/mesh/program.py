"""Many steps as one program, whose state never leaves the devices."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from kerascale.datasets import nests
from kerascale.engine.compat import keras_private
from kerascale.engine.mesh import flops, rows
from kerascale.engine.mesh.placement import Places
from kerascale.engine.mesh.step import State, Step


class Losses:
    """The loss of each step of an execution.

    Args:
        values: Of shape (steps,); read when they are asked for.
    """

    def __init__(self, values: list[Any], count: int) -> None:
        self._values = values
        self._count = count

    def __len__(self) -> int:
        return self._count

    def numpy(self) -> np.ndarray:
        parts = [np.atleast_1d(np.asarray(value)) for value in self._values]
        return np.concatenate(parts)[: self._count].astype(np.float64)


class Execution:
    """What `fit` or `evaluate` calls for some steps.

    Args:
        step: The steps.
        run: One of them: `Step.train` or `Step.test`.
        compiler_options: Of XLA, for the program of steps; None: its defaults.
    """

    def __init__(
        self,
        step: Step,
        run: Callable[[State, Any], Any],
        compiler_options: Mapping[str, str] | None = None,
    ) -> None:
        self.step = step
        self.places: Places = step.places
        self._run = run
        self._options = None if compiler_options is None else dict(compiler_options)
        self._program: Any = None
        self._single: Any = None
        self._logs: Any = None
        # As `engine.execution.executor.Executor` has them.
        self.losses: Losses | None = None
        self.num_calls, self.seconds = 0, 0.0
        # Of the batches of the first call.
        self._rows: Any = None
        self.in_a_loop = not _has_convolution(step.model)

    def __call__(self, rows: Any, steps: int) -> dict[str, Any]:
        """Runs steps, and gives the variables their values.

        Args:
            rows: Batches, of shape (at least `steps`, rows, ...), on the devices.
            steps: How many.

        Returns:
            Name -> value of every metric.
        """
        began = time.perf_counter()
        if self._rows is None:
            self._rows = jax.tree.map(_abstract, rows)
        state = self.step.state()
        if self.in_a_loop:
            state, losses, logs = self._compiled()(state, rows, np.int32(steps))
            losses = [losses]
        else:
            losses = []
            for place in range(steps):
                state, loss = self._compiled_single()(state, rows, np.int32(place))
                losses.append(loss)
            logs = self._compiled_logs()(state)
        self.step.put(state)
        self.losses = Losses(losses, steps)
        if self.num_calls:
            self.seconds += time.perf_counter() - began
        self.num_calls += 1
        return logs

    @property
    def steps_per_call(self) -> int:
        """Steps of one program, where a call was made."""
        return jax.tree.leaves(self._rows)[0].shape[0] if self.in_a_loop else 1

    def logs(self) -> dict[str, Any]:
        """Name -> value of every metric, where no step has run."""
        return self._compiled_logs()(self.step.state())

    def lowered(self, rows: Any) -> jax.stages.Lowered:
        """The program of such a call, which is not compiled or run.

        Args:
            rows: As in a call, or the shapes, dtypes and layouts of such.
        """
        return self._traced(rows).lower()

    def abstract_rows(self, batch: Any, steps: int) -> Any:
        """Shapes, dtypes and layouts of the batches of a call, as it takes them.

        Args:
            batch: One of them, of arrays.
            steps: How many.
        """

        def row(array: Any) -> jax.ShapeDtypeStruct:
            shape = (steps, *array.shape)
            dtype = jax.dtypes.canonicalize_dtype(array.dtype)
            layout = self.places.rows(shape, 1)
            return jax.ShapeDtypeStruct(shape, dtype, sharding=layout)

        return nests.map_present(row, batch)

    def flops_per_step(self, rows: Any = None) -> float:
        """Floating-point operations of a step: the model's, on all devices together.

        What is computed again for a gradient is left out. It costs next to nothing,
        unless there is such: then a step is traced once more.

        Args:
            rows: As of `lowered`; None: as of the first call.

        Raises:
            flops.UncountableError: See `flops.count`.
        """
        if not self.step.recomputes:
            return self.computed_flops_per_step(rows)
        step = self.step.without_recomputation()
        plain = Execution(step, step.train)
        return plain.computed_flops_per_step(self._rows if rows is None else rows)

    def computed_flops_per_step(self, rows: Any = None) -> float:
        """The same, with what is computed again."""
        traced = self._traced(self._rows if rows is None else rows)
        return flops.count(traced.jaxpr, steps_in_loop=self.in_a_loop)

    def _traced(self, rows: Any) -> jax.stages.Traced:
        state = jax.tree.map(_abstract, self.step.state())
        program = self._compiled() if self.in_a_loop else self._compiled_single()
        return program.trace(state, rows, np.int32(0))

    def _batch(self, rows: Any, place: Any) -> Any:
        def taken(array: jax.Array) -> jax.Array:
            own = jax.lax.dynamic_index_in_dim(array, place, 0, keepdims=False)
            layout = self.places.rows(own.shape)
            return jax.lax.with_sharding_constraint(own, layout)

        return nests.map_present(taken, rows)

    def _compiled(self) -> Any:
        if self._program is None:
            layouts = self.step.shardings()
            whole = self.places.whole

            def program(state: State, rows: Any, steps: Any) -> Any:
                most = jax.tree.leaves(rows)[0].shape[0]

                def body(carried: Any) -> Any:
                    place, state, losses = carried
                    state, loss = self._run(state, self._batch(rows, place))
                    losses = losses.at[place].set(loss.astype(losses.dtype))
                    return place + 1, state, losses

                first = (jnp.int32(0), state, jnp.zeros([most], jnp.float32))
                if most == 1:
                    _, state, losses = body(first)
                else:
                    _, state, losses = jax.lax.while_loop(
                        lambda carried: carried[0] < steps, body, first
                    )
                return state, losses, self.step.logs(state)

            self._program = jax.jit(
                program,
                donate_argnums=0,
                out_shardings=(layouts, whole, whole),
                compiler_options=self._options,
            )
        return self._program

    def _compiled_single(self) -> Any:
        if self._single is None:

            def program(state: State, rows: Any, place: Any) -> Any:
                return self._run(state, self._batch(rows, place))

            self._single = jax.jit(
                program,
                donate_argnums=0,
                out_shardings=(self.step.shardings(), self.places.whole),
                compiler_options=self._options,
            )
        return self._single

    def _compiled_logs(self) -> Any:
        if self._logs is None:
            self._logs = jax.jit(self.step.logs, out_shardings=self.places.whole)
        return self._logs


def _abstract(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


class Prediction:
    """What `predict` calls for a batch.

    Args:
        step: The steps.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        places = step.places

        def program(trainable: Any, others: Any, x: Any) -> Any:
            x = nests.map_present(
                lambda t: jax.lax.with_sharding_constraint(t, places.rows(t.shape)), x
            )
            return step.predict((trainable, others, [], []), x)

        self._program = jax.jit(program, out_shardings=places.whole)

    def __call__(self, x: Any) -> Any:
        trainable, others = self.step.state()[:2]
        x = rows.put(x, self.step.places, before=0)
        return self._program(trainable, others, x)


def _has_convolution(model: keras.Model) -> bool:
    """Whether XLA would run it slowly in a loop: a convolution on a CPU."""
    kinds = tuple(
        getattr(keras.layers, name)
        for name in (
            "Conv1D",
            "Conv2D",
            "Conv3D",
            "DepthwiseConv1D",
            "DepthwiseConv2D",
            "SeparableConv1D",
            "SeparableConv2D",
            "Conv1DTranspose",
            "Conv2DTranspose",
            "Conv3DTranspose",
        )
    )
    on_cpu = jax.devices()[0].platform == "cpu"
    return on_cpu and any(
        isinstance(layer, kinds) for layer in keras_private.all_layers(model)
    )
