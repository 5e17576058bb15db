"""`kerascale.Model` where Keras' backend is JAX: steps are programs over a mesh."""

import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.config import AllReduceDtype, Execution
from kerascale.datasets import nests
from kerascale.engine import copies
from kerascale.engine.compat import keras_faults, keras_private
from kerascale.engine.data import fit_arguments
from kerascale.engine.data.class_weight import num_outputs
from kerascale.engine.mesh import loops, preconditions, prepare, steps
from kerascale.runtime import garbage
from kerascale.strategies import model_parallel
from kerascale.strategies.mesh import DATA

# Keras' losses and metrics ask JAX for 64 bits, which has 32: as many as are needed.
warnings.filterwarnings(
    "ignore", message="Explicitly requested dtype int64", category=UserWarning
)

# Batches in a call of `evaluate`.
_MOST_OF_EVALUATE = 64


class Engine(keras.Model):
    """A `keras.Model` with the engine of a mesh: what `Model` and `scale` share.

    `fit`, `evaluate` and `predict` take and return what Keras' own do. A batch is the
    global one, whatever the mesh.
    """

    # As the engine of TensorFlow has it; here steps are always one program.
    execution: Execution = "auto"
    all_reduce_dtype: AllReduceDtype = "gradient"

    @property
    def distribute_strategy(self) -> tf.distribute.Strategy:
        """One replica, to the rest of the product: a program sees the whole batch."""
        return tf.distribute.get_strategy()

    @property
    def has_default_train_step(self) -> bool:
        """Whether the train step is Keras' own."""
        return type(self).train_step is keras.Model.train_step

    @property
    def has_default_test_step(self) -> bool:
        """Whether the test step is Keras' own."""
        return type(self).test_step is keras.Model.test_step

    @property
    def has_default_metrics(self) -> bool:
        """Whether logs are computed by Keras, and by nothing of a user's own."""
        return type(self).compute_metrics is keras.Model.compute_metrics

    def metric_labels(self, y: Any, sample_weight: Any) -> tuple[Any, Any]:
        """What metrics see of labels and weights."""
        return y, sample_weight

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
        """Trains as `keras.Model.fit` does, with the result of one device.

        Args: As in `keras.Model.fit`. `x` may also be batches of
            `kerascale.datasets`.

        Raises:
            RefusedError: Before the first step, if the layout or the model cannot be
                had on the mesh, or more steps are asked than there is data for.
        """
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = keras_private.split_validation(
                (x, y, sample_weight), validation_split
            )
        keras_faults.mend(self)
        one = self.distribute_strategy
        data, steps_per_epoch = fit_arguments.feed_and_steps(
            "steps_per_epoch",
            one,
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
        steps_per_epoch = steps_per_epoch or data.num_batches
        validation = None
        if validation_data is not None:
            validation, validation_steps = fit_arguments.validation_feed(
                one,
                validation_data,
                validation_steps,
                validation_batch_size or batch_size,
            )
        preconditions.refuse_undivided_batch(
            loops.batch_size(data), model_parallel.current().mesh.of(DATA)
        )
        if self.train_function is None:  # Somebody wants it made anew.
            prepare.forget(self)
        prepared = prepare.prepare(self, loops.batch_spec(data))
        self.train_function = prepared.train
        most = steps.of_fit(self, data, callbacks, steps_per_epoch)
        before = self.steps_per_execution
        with fit_arguments.with_epoch(callbacks, data) as callbacks:
            callbacks = self._listed(
                callbacks, verbose, steps_per_epoch, epochs, add_history=True
            )

            def validate(epoch: int) -> dict[str, Any]:
                if validation is None or not self._should_eval(epoch, validation_freq):
                    return {}
                logs = loops.evaluate(
                    self,
                    prepared,
                    validation,
                    callbacks,
                    most=most,
                    steps=validation_steps,
                )
                return {f"val_{name}": value for name, value in logs.items()}

            # Callbacks count with it.
            self.steps_per_execution = most
            try:
                loops.fit(
                    self,
                    prepared,
                    data,
                    callbacks,
                    epochs=range(initial_epoch, epochs),
                    most=most,
                    steps_per_epoch=steps_per_epoch,
                    validate=validate,
                )
            finally:
                self.steps_per_execution = before
                garbage.find_all_again()
        return self.history

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
    ) -> Any:
        """Evaluates as `keras.Model.evaluate` does."""
        data, steps = fit_arguments.feed_and_steps(
            "steps",
            self.distribute_strategy,
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            steps=steps,
            shuffle=False,
        )
        keras_faults.mend(self)
        prepared = prepare.prepare(self, loops.batch_spec(data))
        most = 1 if callbacks else _MOST_OF_EVALUATE
        callbacks = self._listed(callbacks, verbose, steps or data.num_batches)
        logs = loops.evaluate(self, prepared, data, callbacks, most=most, steps=steps)
        garbage.find_all_again()
        return logs if return_dict else _as_list(logs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Predicts as `keras.Model.predict` does, on all devices of the mesh."""
        adapter = keras_private.adapter(
            x=x, batch_size=batch_size, steps_per_epoch=steps, shuffle=False
        )
        callbacks = self._listed(callbacks, verbose, steps or adapter.num_batches)
        callbacks.on_predict_begin()
        outputs: list[Any] = []
        for place, batch in enumerate(adapter.get_numpy_iterator()):
            if steps is not None and place >= steps:
                break
            callbacks.on_predict_batch_begin(place)
            own = batch[0] if isinstance(batch, tuple | list) else batch
            outputs.append(self.predict_on_batch(own))
            callbacks.on_predict_batch_end(place, {"outputs": outputs[-1]})
        callbacks.on_predict_end()
        garbage.find_all_again()
        return keras.tree.map_structure(lambda *each: np.concatenate(each), *outputs)

    def _listed(
        self,
        callbacks: Any,
        verbose: Any,
        steps: int | None,
        epochs: int = 1,
        add_history: bool = False,
    ) -> keras.callbacks.CallbackList:
        """Callbacks as Keras calls them, with its bar; a list of its own stays."""
        if isinstance(callbacks, keras.callbacks.CallbackList):
            return callbacks
        return keras.callbacks.CallbackList(
            callbacks,
            add_history=add_history,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=epochs,
            steps=steps,
            model=self,
        )

    def predict_on_batch(self, x: Any) -> Any:
        """Predicts as `keras.Model.predict_on_batch` does."""
        x = nests.map_present(np.asarray, x)
        prepared = prepare.prepare(self, (x,))
        return keras.tree.map_structure(np.asarray, prepared.predict(x))

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Not on a mesh: `fit` runs steps."""
        raise NotImplementedError(
            "train_on_batch is not there on a mesh. Call fit, with steps_per_epoch=1."
        )


# Compiled losses are built by it; a user's own may never ask for them.
Engine.default_compute_loss = Engine.compute_loss


def _as_list(logs: dict[str, Any]) -> Any:
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
