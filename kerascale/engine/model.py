"""`kerascale.Model`: a Keras model with our step engine."""

import contextlib
from typing import Any

import keras
import tensorflow as tf

from kerascale.config import AllReduceDtype, Execution
from kerascale.engine import copies
from kerascale.engine.collectives import replicas
from kerascale.engine.compat import keras_faults, keras_private
from kerascale.engine.data import fit_arguments
from kerascale.engine.data.class_weight import num_outputs
from kerascale.engine.data.step_iterator import StepsLeft
from kerascale.engine.execution import (
    as_one,
    autotune,
    kept_programs,
    mode_of_model,
    own_traces,
    prediction,
    prediction_loop,
    step_functions,
)
from kerascale.engine.step import build, metrics
from kerascale.engine.step.replica_step import ReplicaStep
from kerascale.errors import RefusedError

kept_programs.fetch()


class Engine(ReplicaStep, keras_private.SymbolicBuild, keras.Model):
    """A `keras.Model` with the engine: what `Model` and `scale` have in common.

    It stands at Keras' own extension points: `train_step`, `test_step`,
    `compute_loss`, `get_metrics_result`, `make_train_function` and its kin.
    """

    # How `fit` executes steps where `compile` was not told `steps_per_execution`:
    # `auto` by what is fastest here, `fixed` one by one, `one_program` by XLA.
    execution: Execution = "auto"
    # In which gradients travel between replicas: see `narrow`.
    all_reduce_dtype: AllReduceDtype = "gradient"

    # -------------------------------------------------------------- all replicas

    def get_metrics_result(self) -> dict[str, Any]:
        """Name -> value of every metric, over all replicas."""
        if self._is_over_replicas:
            return metrics.results(self, super().get_metrics_result)
        return super().get_metrics_result()

    def reset_metrics(self) -> None:
        """Sets all metrics back to their beginning."""
        if self._is_over_replicas:
            metrics.reset(self)
        else:
            super().reset_metrics()

    @property
    def _is_over_replicas(self) -> bool:
        """Whether this is called where metrics are those of several replicas."""
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return False
        return not (replicas.is_in_one() or keras_private.in_stateless_scope())

    @property
    def has_default_train_step(self) -> bool:
        """Whether the train step is the engine's, and none of a user's own."""
        return type(self).train_step is Engine.train_step

    @property
    def has_default_test_step(self) -> bool:
        """Whether the test step is the engine's, and none of a user's own."""
        return type(self).test_step is Engine.test_step

    @property
    def has_default_metrics(self) -> bool:
        """Whether logs are computed by Keras, and by nothing of a user's own."""
        return type(self).compute_metrics is keras.Model.compute_metrics

    def make_train_function(self, force: bool = False) -> Any:
        if self.train_function is None or force:
            keras_faults.mend(self)
            self.train_function = step_functions.train(self)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        if self.test_function is None or force:
            keras_faults.mend(self)
            self.test_function = step_functions.test(self)
        return self.test_function

    def make_predict_function(self, force: bool = False) -> Any:
        if self.predict_function is None or force:
            keras_faults.mend(self)
            if replicas.is_distributed(self.distribute_strategy):
                self.predict_function = prediction.predict(self)
            else:
                super().make_predict_function(force)
                self.predict_function = own_traces.again(self.predict_function)
        return self.predict_function

    def build_for(self, data_adapter: Any, data_batch: Any) -> None:
        spec = data_batch
        if data_adapter is not None:
            spec = getattr(data_adapter, "batch_spec", None)
            skip = getattr(data_adapter, "skip", 0)
            if skip or (spec is not None and mode_of_model.kind(self) != "loop"):
                # What is restored in the middle of an epoch must be there; and a
                # program makes no variables.
                build.build(self, spec)
        build.before_first_step(self, spec)
        if isinstance(spec, tuple) and isinstance(spec[0], tf.TensorSpec):
            # For an export: a subclass does not say what it takes.
            vars(self)["_kerascale_inputs"] = spec[0]

    def __reduce__(self) -> tuple[Any, ...]:
        """For `pickle` and `copy`: as Keras does it, and with the engine again."""
        return copies.restored, (Engine, *copies.kept(self))

    def get_compile_config(self) -> dict[str, Any] | None:
        keras_faults.mend(self)
        return super().get_compile_config()

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> keras.callbacks.History:
        """Trains as `keras.Model.fit` does, with the same result on any hardware.

        Every batch is a global one: `batch_size`, or a batch of a `tf.data.Dataset`,
        is what all replicas share. On several workers each process is given all of
        the data; it gathers only its own rows of arrays, and reads a `tf.data.Dataset`
        as a whole to keep its rows. Arrays are shuffled in an order that Python's
        seed decides.

        Args: As in `keras.Model.fit`. `x` may also be batches of
            `kerascale.datasets`.

        Raises:
            RefusedError: Before the first step, if on several replicas the result
                could not be that of one device, or more steps are asked than there is
                data for.
            RuntimeError: If data of which the length was not known ends before the
                steps that were asked for.
        """
        strategy = self.distribute_strategy
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = keras_private.split_validation(
                (x, y, sample_weight), validation_split
            )
        data, steps_per_epoch = fit_arguments.feed_and_steps(
            "steps_per_epoch",
            strategy,
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            steps=steps_per_epoch,
            epochs=epochs - initial_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
            num_outputs=num_outputs(self),
        )
        autotune.before_fit(
            self,
            getattr(data, "batches", None),
            (data.num_batches or 0) * (epochs - initial_epoch),
            fit_arguments.as_list(callbacks),
            is_silent=verbose == 0,
        )
        kept_programs.keep()  # Of a trial.
        with as_one.while_fitting(self, data) as data:
            if validation_data is not None:
                validation_data, validation_steps = fit_arguments.validation_feed(
                    self.distribute_strategy,
                    validation_data,
                    validation_steps,
                    validation_batch_size or batch_size,
                )
            skip, last_step = getattr(data, "skip", 0), getattr(data, "last_step", None)
            if last_step is not None:
                done = initial_epoch * data.num_batches
                data.steps_left = StepsLeft(last_step - done)
            is_indexed = getattr(data, "batches", None) is not None
            try:
                with (
                    fit_arguments.with_epoch(callbacks, data) as callbacks,
                    mode_of_model.applied(self, steps_per_epoch, is_indexed),
                ):
                    if skip or last_step is not None:
                        callbacks = fit_arguments.PartialEpochs(
                            fit_arguments.as_list(callbacks),
                            skip=skip,
                            last_step=last_step,
                            steps_per_execution=self.steps_per_execution,
                            add_history=True,
                            add_progbar=verbose != 0,
                            verbose=verbose,
                            epochs=epochs,
                            steps=data.num_batches,
                            model=self,
                        )
                    return super().fit(
                        data,
                        epochs=epochs,
                        verbose=verbose,
                        callbacks=callbacks,
                        validation_data=validation_data,
                        initial_epoch=initial_epoch,
                        steps_per_epoch=steps_per_epoch,
                        validation_steps=validation_steps,
                        validation_freq=validation_freq,
                    )
            finally:
                step_functions.release(self)
                kept_programs.keep()

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Evaluates as `keras.Model.evaluate` does. All workers call it."""
        long = contextlib.nullcontext()
        if not kwargs:  # Within `fit`, Keras has a cached iterator.
            x, steps = fit_arguments.feed_and_steps(
                "steps",
                self.distribute_strategy,
                x,
                y,
                sample_weight,
                batch_size=batch_size,
                steps=steps,
                shuffle=False,
            )
            y = sample_weight = batch_size = None
            if getattr(x, "batches", None) is not None and steps is None:
                long = mode_of_model.in_long_executions(self, callbacks)
        with long:
            return super().evaluate(
                x,
                y,
                batch_size=batch_size,
                verbose=verbose,
                sample_weight=sample_weight,
                steps=steps,
                callbacks=callbacks,
                return_dict=return_dict,
                **kwargs,
            )

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Predicts as `keras.Model.predict` does, on the replicas of this process.

        Each worker that calls it computes all predictions; none waits for another.
        """
        if steps is None:
            found = prediction_loop.predict(self, x, batch_size, verbose, callbacks)
            if found is not None:
                return found
        if replicas.is_distributed(self.distribute_strategy):
            x = fit_arguments.prediction_feed(
                self.distribute_strategy, x, batch_size, steps
            )
            batch_size = None
        return super().predict(x, batch_size, verbose, steps, callbacks)

    def export(self, *args: Any, **kwargs: Any) -> None:
        """Exports as `keras.Model.export` does."""
        keras_faults.mend(self)
        super().export(*args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        if not replicas.is_distributed(self.distribute_strategy):
            return super().predict_on_batch(x)
        self.make_predict_function()
        outputs = self.predict_function([prediction.cut(self, x)])
        return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)


# Compiled losses are built by it; a user's own may never ask for them.
Engine.default_compute_loss = Engine.compute_loss
if keras.config.backend() == "jax":  # Its trainer has other extension points.
    from kerascale.engine.mesh.engine import Engine


class Model(Engine):
    """A `keras.Model` to subclass, with the kerascale step engine.

    Use it as `keras.Model` is used for subclassing. For a functional model write
    `kerascale.scale(keras.Model(inputs, outputs))`.

    Example:

    ```python
    class Classifier(ks.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(10, activation="softmax")

        def call(self, x):
            return self.dense(x)
    ```
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Keras takes these arguments for a functional model, and would rewrite the
        # bases of this class, and with them every later subclass.
        if len(args) >= 2 or {"inputs", "outputs"} & set(kwargs):
            raise RefusedError(
                "kerascale.Model is for subclassing. Expected: a functional model "
                "built with Keras and then scaled. Received: "
                f"{type(self).__name__}(inputs, outputs). Write "
                "kerascale.scale(keras.Model(inputs, outputs))."
            )
        super().__init__(*args, **kwargs)
