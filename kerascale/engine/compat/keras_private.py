"""Every use of a private name of Keras, each with the test that guards it.

Keras' extension points are public methods, but some of what they hold is not. When a
release of Keras moves one of these names, `tests/engine/test_keras_private.py` fails
and says what to do; nothing outside this file has to change. It is long, so that there
is one file to look at.
"""

import contextlib
import io
import pathlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend import compute_output_spec
from keras.src.backend.common import global_state
from keras.src.backend.common.stateless_scope import in_stateless_scope
from keras.src.models.functional import Functional
from keras.src.random import seed_generator
from keras.src.saving import object_registration, saving_lib
from keras.src.trainers import data_adapters
from keras.src.trainers.data_adapters import array_slicing

from kerascale.datasets import nests

# `fit` takes an instance of it as it is: "Allow passing a custom data adapter".
DataAdapter = data_adapters.data_adapter.DataAdapter

# Whether Keras is tracing shapes, or reads variables through a mapping.
in_stateless_scope = in_stateless_scope


def adapter(**arguments: Any) -> DataAdapter:
    """What Keras makes of the data arguments of `fit`, checked by Keras.

    Args:
        **arguments: `x`, `y`, `sample_weight`, `batch_size`, `steps_per_epoch`,
            `shuffle`, `class_weight`.
    """
    return data_adapters.get_data_adapter(**arguments)


def arrays_of(adapter: DataAdapter) -> tuple[Any, int] | None:
    """(x, y, sample_weight) and the batch size, if the data are arrays."""
    if not isinstance(adapter, data_adapters.ArrayDataAdapter):
        return None
    return adapter._inputs, adapter._batch_size


def split_validation(arrays: Any, share: float) -> tuple[Any, Any]:
    """(x, y, sample_weight) in two: the last `share` of the rows is for validation."""
    return array_slicing.train_validation_split(arrays, validation_split=share)


# Keras' callback -> the attributes in which it remembers.
CALLBACK_MEMORY: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
    keras.callbacks.ModelCheckpoint: (
        "best",
        "epochs_since_last_save",
        "_batches_seen_since_last_saving",
        "_last_batch_seen",
    ),
}


class SymbolicBuild:
    """A model that is told when Keras would run a batch through it to build it."""

    def build_for(self, data_adapter: Any, data_batch: Any) -> None:
        """What is done instead; exactly one of the arguments is there."""
        raise NotImplementedError

    def _maybe_symbolic_build(
        self, iterator: Any = None, data_batch: Any = None
    ) -> None:
        adapter = None if iterator is None else iterator.data_adapter
        self.build_for(adapter, data_batch)


def compilation(model: keras.Model) -> Any:
    """An object of its own for each call of `compile`; None before the first."""
    return getattr(model, "_compile_config", None)


def counts_steps(callback: keras.callbacks.Callback) -> bool:
    """Whether it is one of Keras' own that counts the steps of an execution itself."""
    kinds = keras.callbacks
    if isinstance(callback, kinds.LambdaCallback):
        return False
    if not type(callback).__module__.startswith("keras."):
        return False
    # An integer is a number of steps that it should look at exactly.
    asked = [
        getattr(callback, name, None)
        for name in ("save_freq", "_save_freq", "update_freq")
    ]
    return not any(isinstance(n, int) or n == "batch" for n in asked)


def schedule_of(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.schedules.LearningRateSchedule | None:
    """The schedule of an optimizer's learning rate; None if it has a variable."""
    rate = optimizer._learning_rate
    schedule = keras.optimizers.schedules.LearningRateSchedule
    return rate if isinstance(rate, schedule) else None


def loss_tracker(model: keras.Model) -> keras.metrics.Mean:
    """The metric `loss` of a compiled model."""
    return model._loss_tracker


def compute_loss(model: keras.Model, *args: Any, training: bool, **kwargs: Any) -> Any:
    """`model.compute_loss`, also if it was overridden without `training`."""
    return model._compute_loss(*args, training=training, **kwargs)


def call(model: keras.Model, x: Any, training: bool) -> Any:
    """`model(x)`, with `training` if its `call` takes that."""
    if model._call_has_training_arg:
        return model(x, training=training)
    return model(x)


def takes_training(layer: keras.layers.Layer) -> bool:
    """Whether its `call` takes `training`."""
    return layer._call_has_training_arg


def logits_of(probabilities: Any) -> Any:
    """What a softmax was computed of, exactly; None where it is not known."""
    return getattr(probabilities, "_keras_logits", None)


def compiled_loss(model: keras.Model) -> Callable[..., Any] | None:
    """What adds up the compiled losses of all outputs; None without any."""
    return model._compile_loss


def loss_metrics(model: keras.Model) -> list[keras.metrics.Metric]:
    """The metrics of the single losses, where there are several."""
    compiled = model._compile_loss
    return [] if compiled is None else list(compiled.metrics)


def as_single_steps_see(model: keras.Model, batch: Any) -> Any:
    """A batch of known size, as a step sees one that may have any size.

    Keras weights the losses of single outputs by the number of examples where it is
    known while the step is traced, and batches alike where it is not.
    """
    if not loss_metrics(model):
        return batch
    return nests.map_present(
        lambda t: tf.raw_ops.PlaceholderWithDefault(
            input=t, shape=[None, *t.shape[1:]]
        ),
        batch,
    )


@contextlib.contextmanager
def training_kept() -> Iterator[None]:
    """Behind it, in a call of a layer, `training` is what it was before."""
    context = global_state.get_global_attribute("current_call_ctx")
    before = None if context is None else context.get_value("training")
    try:
        yield
    finally:
        if context is not None:
            context.set_value("training", before)


def given_metrics(model: keras.Model) -> list[Any]:
    """What `compile` was given as metrics: names, functions, and metrics."""
    compiled = getattr(model, "_compile_metrics", None)
    if compiled is None:
        return []
    given = [compiled._user_metrics, compiled._user_weighted_metrics]
    return keras.tree.flatten(given)


class Aside(keras.StatelessScope):
    """Within it variables keep their values, and what would be written lies aside.

    Args:
        begin: (variable, value) that some variables begin with.
    """

    def __init__(self, begin: list[tuple[keras.Variable, tf.Tensor]]) -> None:
        super().__init__(begin, collect_losses=True)

    def get_current_value(self, variable: keras.Variable) -> Any:
        found = super().get_current_value(variable)
        # Keras asks for each weight that has a regularizer, and takes no "none".
        return variable._value if found is None else found

    def written(self, variable: keras.Variable) -> tf.Tensor | None:
        """What a variable would have now; None: nothing was written."""
        return super().get_current_value(variable)


class _ByThread(threading.local):
    """What a layer remembers of `add_loss`, by the thread of a replica."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.kept = make()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kept, name)

    def __getitem__(self, key: Any) -> Any:
        return self.kept[key]

    def __contains__(self, value: Any) -> bool:
        return value in self.kept


def keep_added_losses_apart(model: keras.Model) -> None:
    """Lets each replica's thread see the losses that it has added itself.

    Keras keeps them in a list of the layer, and empties it where a layer is called.
    Replicas of one process take turns where they communicate: what the first had added
    before was lost to it, and it found what the second had added.
    """
    for layer in all_layers(model):
        for name, make in (("_losses", list), ("_loss_ids", set)):
            if not isinstance(vars(layer)[name], _ByThread):
                vars(layer)[name] = _ByThread(make)


def wrap_losses(model: keras.Model, wrap: Callable[[Any], Any]) -> None:
    """Puts a function of ours in the place of each compiled loss.

    Args:
        model: Compiled and built.
        wrap: Takes a `keras.Loss`, returns a callable (y_true, y_pred,
            sample_weight).
    """
    compiled = model._compile_loss
    # It has none where `compute_loss` is a user's own, which does not use them.
    if compiled is not None and compiled._flat_losses is not None:
        compiled._flat_losses = [
            entry._replace(loss=wrap(entry.loss))
            if isinstance(entry.loss, keras.Loss)
            else entry
            for entry in compiled._flat_losses
        ]


def all_metrics(model: keras.Model) -> list[keras.metrics.Metric]:
    """All metrics, those within the compiled ones too."""
    found = []
    for metric in model.metrics:
        found += [metric, *getattr(metric, "metrics", ())]
    return list({id(metric): metric for metric in found}.values())


def flat_losses(model: keras.Model) -> list[Any]:
    """What stands in the place of each compiled loss."""
    compiled = model._compile_loss
    entries = compiled._flat_losses if compiled is not None else None
    return [entry.loss for entry in entries or () if entry.loss is not None]


def losses_for(model: keras.Model, y_true: Any, y_pred: Any) -> list[Any]:
    """The same, made for labels and outputs if that was not done before."""
    compiled = model._compile_loss
    if compiled is not None and not compiled.built:
        compiled.build(y_true, y_pred)
    return flat_losses(model)


def update_compiled_metrics(
    model: keras.Model, y: Any, y_pred: Any, sample_weight: Any
) -> None:
    """Updates the metrics given to `compile`."""
    if model._compile_metrics is not None:
        model._compile_metrics.update_state(y, y_pred, sample_weight)


def update_compiled_metrics_by_row(
    model: keras.Model, y: Any, y_pred: Any, sample_weight: Any, rows: tf.Tensor
) -> None:
    """Like `update_compiled_metrics`, with a weight for each row.

    Args:
        model: Compiled and built.
        y: Labels.
        y_pred: Predictions.
        sample_weight: For the metrics that are weighted; or None.
        rows: Of shape (rows,).
    """
    compiled = model._compile_metrics
    if compiled is None:
        return
    labels = compiled._flatten_y(y)
    # Without their masks, which Keras' metrics regard only where there are weights.
    outputs = [tf.identity(output) for output in compiled._flatten_y(y_pred)]
    weights = [rows] * len(outputs)
    for metric, label, output in zip(
        compiled._flat_metrics, labels, outputs, strict=False
    ):
        if metric:
            metric.update_state(label, output, sample_weight=rows)
    if sample_weight is not None:
        given = compiled._flatten_y(sample_weight)
        given = given * len(outputs) if len(given) < len(outputs) else given
        weights = [
            tf.cast(weight, rows.dtype)
            * tf.reshape(rows, [-1] + [1] * (weight.shape.rank - 1))
            for weight in given
        ]
        outputs = compiled._flatten_y(y_pred)
    for metric, label, output, weight in zip(
        compiled._flat_weighted_metrics, labels, outputs, weights, strict=False
    ):
        if metric:
            metric.update_state(label, output, sample_weight=weight)


def build(model: keras.Model, batch: Any) -> None:
    """Builds model, losses, metrics and optimizer from the shapes of a batch.

    Args:
        model: Compiled.
        batch: (x, y, sample_weight) of `keras.KerasTensor`.
    """
    with model.distribute_strategy.scope():
        _build_from_outputs(model, *keras.utils.unpack_x_y_sample_weight(batch))
        try:
            model._symbolic_build(data_batch=batch)
        except Exception:
            if not _may_never_be_called(model):
                raise
            model.built = True
            model._symbolic_build(data_batch=batch)  # What is left: the optimizer.


def _may_never_be_called(model: keras.Model) -> bool:
    """Whether a train step of a user's own may do without `model(x)`.

    So does that of a GAN, which calls its layers: they must be built.
    """
    parts = [layer for layer in all_layers(model) if layer is not model]
    parts += [model._compile_metrics, model._compile_loss]
    return not model.has_default_train_step and all(
        part is None or part.built for part in parts
    )


def _build_from_outputs(model: keras.Model, x: Any, y: Any, sample_weight: Any) -> None:
    """Builds losses and metrics where the shapes of the outputs are known.

    Keras would call the model for them once more, which takes as long as to trace half
    a step.
    """
    if not all(layer.built for layer in all_layers(model)):
        return
    outputs = _known_outputs(model, keras.tree.flatten(x)[0].shape[0])
    if outputs is None:
        return
    for part, compute, options in (
        (model._compile_metrics, model.compute_metrics, {}),
        (model._compile_loss, model._compute_loss, {"training": False}),
    ):
        if part is not None and not part.built:
            compute_output_spec(
                compute, x, y, outputs, sample_weight=sample_weight, **options
            )


def _known_outputs(model: keras.Model, batch_size: int | None) -> Any:
    """What the model returns, as symbols; None where that is not known."""
    kind = keras.Sequential if isinstance(model, keras.Sequential) else Functional
    if not isinstance(model, kind) or type(model).call is not kind.call:
        return None
    plain = model if kind is Functional else model._functional
    outputs = None if plain is None else plain._outputs_struct
    if outputs is None or any(
        None in tensor.shape[1:] or tensor.sparse or tensor.ragged
        for tensor in keras.tree.flatten(outputs)
    ):
        return None
    if isinstance(outputs, list | tuple) and len(outputs) == 1:
        (outputs,) = outputs  # So does `call` return it.
    return keras.tree.map_structure(
        lambda t: keras.KerasTensor((batch_size, *t.shape[1:]), t.dtype), outputs
    )


def is_built(model: keras.Model, default_compute_loss: Callable) -> bool:
    """Whether `build` has nothing left to do.

    Args:
        model: Compiled.
        default_compute_loss: The method that builds the compiled losses; a user's own
            may never ask for them.
    """
    parts = [model._compile_metrics, model.optimizer]
    if type(model).compute_loss is default_compute_loss:
        parts.append(model._compile_loss)
    return all(layer.built for layer in all_layers(model)) and all(
        part is None or part.built for part in parts
    )


def compute_dtype(model: keras.Model) -> str:
    """That of its layers which has the fewest bits to round to."""
    coarse = ("bfloat16", "float16", "float32", "float64")
    found = {layer.compute_dtype for layer in all_layers(model) if layer.variables}
    return next((d for d in coarse if d in found), keras.config.floatx())


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The model and every layer in it, however deep."""
    return list(model._flatten_layers())


def direct_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers that a layer or model holds itself."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def adopt_class(thing: Any, added: type, *, behind: bool = False) -> Any:
    """Gives an object's class another base, in place.

    Keras writes a class's name and module into saved files, and the name that it was
    registered by: the new class has those of the old one, so that plain Keras loads
    what was saved.

    Args:
        thing: The object.
        added: Its methods come before those of the object's class.
        behind: Whether they come after those instead, and before those of the bases
            that both have.
    """
    plain = type(thing)
    if issubclass(plain, added):
        return thing
    key = (added, plain, behind)
    if key not in _adopted:
        names = {
            "__module__": plain.__module__,
            "__qualname__": plain.__qualname__,
            "__doc__": plain.__doc__,
        }
        bases = (plain, added) if behind else (added, plain)
        _adopted[key] = type(plain.__name__, bases, names)
        known = object_registration.GLOBAL_CUSTOM_NAMES
        if plain in known:
            # Written under it; what is loaded by it stays the old class.
            known[_adopted[key]] = known[plain]
    thing.__class__ = _adopted[key]
    return thing


_adopted: dict[tuple[type, type, bool], type] = {}


# ------------------------------------------------- variables that came later


def add_variable(layer: keras.layers.Layer, **arguments: Any) -> keras.Variable:
    """Gives a built layer one more variable.

    Args:
        layer: Keras lets none be added to it.
        **arguments: Those of `add_weight`.
    """
    was_locked = layer._tracker.locked
    layer._tracker.unlock()
    try:
        return layer.add_weight(**arguments)
    finally:
        if was_locked:
            layer._tracker.lock()


def remove_variable(layer: keras.layers.Layer, variable: keras.Variable) -> None:
    """Takes a variable out of a layer."""
    layer._untrack_variable(variable)


@contextlib.contextmanager
def hidden(
    layer: keras.layers.Layer, variables: Sequence[keras.Variable]
) -> Iterator[None]:
    """Within it some variables are not among those that a layer saves and loads."""
    own = {id(v) for v in variables}
    stores = [layer._trainable_variables, layer._non_trainable_variables]
    before = [list(store) for store in stores]
    for store in stores:
        store[:] = [v for v in store if id(v) not in own]
    try:
        yield
    finally:
        for store, values in zip(stores, before, strict=True):
            store[:] = values


# ---------------------------------------------------------------- the optimizer


class LocalOptimizer(keras.optimizers.Optimizer):
    """Applies a gradient that every replica has whole, on each replica by itself.

    Keras' TensorFlow optimizers clip first and reduce after, and use `merge_call`,
    which cannot stand under a condition. Replicas that start equal and apply the same
    gradient stay equal without either.

    A subclass says how variables are updated, and what a schedule gives.
    """

    def update_all(
        self,
        gradients: Sequence[Any],
        variables: Sequence[keras.Variable],
        learning_rate: Any,
    ) -> None:
        """Updates all variables."""
        for gradient, variable in zip(gradients, variables, strict=True):
            self.update_step(gradient, variable, learning_rate)

    def scheduled_rate(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule
    ) -> Any:
        """The rate of the next update: `iterations` counts updates."""
        return schedule(self.iterations)

    def _clip_gradients(self, grads):
        # Keras takes the norm of the rows of an embedding's gradient on TensorFlow
        # one by one, where the same id comes again; on JAX, that of their sum.
        if self.clipnorm or self.global_clipnorm or self.clipvalue:
            grads = [
                tf.convert_to_tensor(g) if isinstance(g, tf.IndexedSlices) else g
                for g in grads
            ]
        return super()._clip_gradients(grads)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        self.update_all(grads, trainable_variables, learning_rate)

    def _apply_weight_decay(self, variables):
        if self.weight_decay is None:
            return
        learning_rate = self.learning_rate
        rates = {}
        for variable in variables:
            if self._use_weight_decay(variable):
                if variable.dtype not in rates:
                    rates[variable.dtype] = (
                        keras.ops.cast(self.weight_decay, variable.dtype),
                        keras.ops.cast(learning_rate, variable.dtype),
                    )
                decay, rate = rates[variable.dtype]
                self.assign_sub(variable, variable * decay * rate)

    def _backend_apply_gradients(self, grads, trainable_variables):
        grads = self._clip_gradients(grads)
        self._apply_weight_decay(trainable_variables)
        self._backend_update_step(grads, trainable_variables, self.learning_rate)
        if self.use_ema:
            self._update_model_variables_moving_average(self._trainable_variables)
            every = self.ema_overwrite_frequency
            if every:
                keras.ops.cond(
                    (self.iterations + 1) % every == 0,
                    lambda: self._overwrite_model_variables_with_average_value(
                        self._trainable_variables
                    ),
                    lambda: None,
                )

    def _overwrite_model_variables_with_average_value(self, trainable_variables):
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            if average is not None:
                variable.assign(average)

    def _get_current_learning_rate(self):
        rate = self._learning_rate
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            return self.scheduled_rate(rate)
        return super()._get_current_learning_rate()

    def _tf_apply(self, grads, trainable_variables=None):
        # Of LossScaleOptimizer: without its merge_call.
        self._common_apply(grads, trainable_variables)


def apply_without_merging(view_class: type) -> None:
    """Lets a subclass of `LossScaleOptimizer` apply as `LocalOptimizer` does."""
    view_class._tf_apply = LocalOptimizer._tf_apply


def with_state_of(
    view_class: type,
    optimizer: keras.optimizers.Optimizer,
    view_of: Callable[[keras.optimizers.Optimizer], Any],
) -> Any:
    """An object of another class with the same state as an optimizer.

    Args:
        view_class: The class.
        optimizer: Whose state it shares.
        view_of: Makes such an object of an optimizer inside of it.
    """
    view = object.__new__(view_class)
    state = vars(optimizer)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        state = {**state, "inner_optimizer": view_of(optimizer.inner_optimizer)}
    elif isinstance(optimizer, keras.optimizers.MultiOptimizer):
        parts = [view_of(part) for part in optimizer.optimizers]
        state = {**state, "_inner_optimizers": parts}
    # Past Keras' own __setattr__, which would track it.
    object.__setattr__(view, "__dict__", state)
    return view


def moments(
    optimizer: keras.optimizers.Adam, variable: keras.Variable
) -> tuple[tf.Variable, tf.Variable]:
    """The first and second moment that Adam keeps of a variable."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index].value, optimizer._velocities[index].value


def slots(
    optimizer: keras.optimizers.Optimizer, variable: keras.Variable
) -> list[keras.Variable]:
    """What an optimizer keeps of a variable, of its shape: moments, for example."""
    index = optimizer._get_variable_index(variable)
    size = len(optimizer._trainable_variables)
    lists = [
        value
        for name, value in sorted(vars(optimizer).items())
        if isinstance(value, list) and len(value) == size and name != "_variables"
    ]
    found = {id(v[index]): v[index] for v in lists if v[index] is not variable}
    return [each for each in found.values() if isinstance(each, keras.Variable)]


def slots_of_all(optimizer: keras.optimizers.Optimizer) -> set[int]:
    """The variables of an optimizer, by `id`, but for its counter and its rate."""
    others = {id(optimizer._iterations), id(optimizer._learning_rate)}
    return {id(v) for v in optimizer.variables} - others


def variables_of(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """The variables that an optimizer was built with."""
    return optimizer._trainable_variables


def forget(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
) -> None:
    """Takes variables out of an optimizer that were added to it."""
    for variable in variables:
        optimizer._tracker.untrack(variable)


def micro_batches(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """Micro-batches so far: `iterations` times `gradient_accumulation_steps`."""
    return innermost(optimizer)._iterations


def innermost(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer in a `LossScaleOptimizer`; or itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def accumulators(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Sums of micro-batch gradients, one for each trainable variable."""
    return innermost(optimizer)._accumulated_gradients


def trainable_index(
    optimizer: keras.optimizers.Optimizer, variable: keras.Variable
) -> int:
    """A variable's place among those that the optimizer was built with."""
    return innermost(optimizer)._get_variable_index(variable)


def prepare_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Gives a built optimizer the kinds of variables that replicas need.

    The counter becomes one that each replica advances by itself: Keras' own would be
    merged at each step. Accumulators hold a different sum on each replica, and read
    outside of a step they give the sum over all: so a file saved from any number of
    replicas is right for any other.
    """
    inner = innermost(optimizer)
    for part in getattr(inner, "optimizers", ()):
        prepare_optimizer(part)
    with inner._distribution_strategy.scope():
        counter = inner._iterations
        if counter.value.aggregation != tf.VariableAggregation.NONE:
            # Past Keras' own __setattr__, which would track it once more.
            vars(inner)["_iterations"] = _replace(inner, counter, aggregation="none")
        if inner.gradient_accumulation_steps:
            for i, sums in enumerate(inner._accumulated_gradients):
                if sums.value.synchronization != tf.VariableSynchronization.ON_READ:
                    inner._accumulated_gradients[i] = _replace(
                        inner, sums, aggregation="sum", synchronization="on_read"
                    )


def _replace(optimizer: Any, old: keras.Variable, **kind: str) -> keras.Variable:
    with tf.init_scope():
        new = keras.Variable(
            old.numpy(), dtype=old.dtype, trainable=False, name=old.name, **kind
        )
    new._path = old.path
    # A list that TensorFlow tracks cannot be saved once a member was replaced.
    optimizer._variables = [new if v is old else v for v in optimizer._variables]
    return new


@contextlib.contextmanager
def of_one_device(
    model: keras.Model, values: Sequence[tuple[keras.Variable, tf.Variable]]
) -> Iterator[None]:
    """Within it a model of a strategy is one of none.

    Args:
        model: Compiled and built.
        values: Variables of it and its optimizers, and what each is worth there.
    """
    optimizers = [model.optimizer, *optimizers_of(model)]
    for optimizer in filter(None, optimizers.copy()):
        inner = innermost(optimizer)
        optimizers += [inner, *getattr(inner, "optimizers", ())]
    statistics = [
        layer
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.synchronized
    ]
    with contextlib.ExitStack() as stack:

        def put(thing: Any, name: str, value: Any) -> None:
            # Past Keras' own __setattr__, which would track it.
            attributes = vars(thing)
            stack.callback(attributes.update, {name: attributes[name]})
            attributes[name] = value

        for variable, value in values:
            put(variable, "_value", value)
        put(model, "_distribute_strategy", None)
        one = tf.distribute.get_strategy()
        for optimizer in filter(None, optimizers):
            put(optimizer, "_distribution_strategy", one)
        for layer in statistics:  # Those of the batch, as a layer for itself has them.
            put(layer, "synchronized", False)
        yield


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Optimizers that a model holds beside the compiled one."""
    return [
        value
        for value in vars(model).values()
        if isinstance(value, keras.optimizers.Optimizer)
        and value is not model.optimizer
    ]


# ---------------------------------------------------------------------- saving


def pickled(model: keras.Model) -> io.BytesIO:
    """What Keras pickles of a model: its `.keras` file."""
    _, (file,) = keras.Model.__reduce__(model)
    return file


def unpickled(file: io.BytesIO) -> keras.Model:
    """The model of such a file, as Keras itself makes it."""
    return keras.Model._unpickle_model(file)


class _NotingStore(saving_lib.H5IOStore):
    """Notes where in the file each value lies."""

    def __init__(self, file: io.BytesIO | pathlib.Path, optimizer: Any) -> None:
        super().__init__(file, mode="w")
        self.places: list[tuple[int | None, Any]] = []
        base = keras.optimizers.Optimizer.save_own_variables
        own = getattr(type(optimizer), "save_own_variables", None)
        # An optimizer writes copies of them.
        self._optimizer = optimizer.variables if own is base else None

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        if self._h5_entry_path == "optimizer" and self._optimizer is not None:
            value = self._optimizer[int(key)]
        self.places.append((self._h5_entry_group[key].id.get_offset(), value))


def weights_file(model: keras.Model) -> tuple[bytes, list[tuple[int | None, Any]]]:
    """What `save_weights` would write into a `.weights.h5` file.

    Returns:
        The file, and of each value in it the place of its first byte (None: it is in
        no one place) and what was written: a variable, or what a layer made of some.
    """
    file = io.BytesIO()
    places = _write_weights(model, file)
    return file.getvalue(), places


def write_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Writes what `save_weights` would, one variable after the other."""
    _write_weights(model, path)


def _write_weights(
    model: keras.Model, file: io.BytesIO | pathlib.Path
) -> list[tuple[int | None, Any]]:
    # A model that was never compiled has no such attribute.
    store = _NotingStore(file, getattr(model, "optimizer", None))
    saving_lib._save_state(model, store, None, "", set())
    store.close()
    return store.places


# --------------------------------------------------------------- random numbers


def seed_generators(layer: keras.layers.Layer) -> list[keras.random.SeedGenerator]:
    """What a layer draws from, in attributes and in lists and dicts of them."""
    return list(layer._seed_generators)


def add_seed_generator(
    layer: keras.layers.Layer, generator: keras.random.SeedGenerator
) -> None:
    """Gives a built layer one more thing that it draws from.

    Its state is among the layer's variables, and is in none of Keras' files.
    """
    layer._seed_generators.append(generator)


def remove_seed_generator(
    layer: keras.layers.Layer, generator: keras.random.SeedGenerator
) -> None:
    """Takes it away again."""
    layer._seed_generators[:] = [
        own for own in layer._seed_generators if own is not generator
    ]


@contextlib.contextmanager
def unseeded_draws_from(generator: keras.random.SeedGenerator) -> Iterator[None]:
    """Within it, in this thread, `keras.random` without a seed draws from it.

    Keras has a generator for each thread, and TensorFlow traces each replica in a
    thread of its own, where none could be made.
    """
    name = seed_generator.GLOBAL_SEED_GENERATOR
    before = global_state.get_global_attribute(name)
    global_state.set_global_attribute(name, generator)
    try:
        yield
    finally:
        global_state.set_global_attribute(name, before)


# --------------------------------------------------------- batch normalisation


class Moments:
    """Put in front of `keras.layers.BatchNormalization`: moments of our own."""

    def _moments(self, inputs: Any, mask: Any) -> Any:
        ours = self.global_moments(inputs, mask, self._reduction_axes)
        found = super()._moments(inputs, mask) if ours is None else ours
        return self.used_moments(*found)

    def global_moments(
        self, inputs: tf.Tensor, mask: Any, axes: Sequence[int]
    ) -> tuple[tf.Tensor, tf.Tensor] | None:
        """Of the global batch; None: as Keras has them."""
        return None

    def used_moments(self, mean: tf.Tensor, variance: tf.Tensor) -> Any:
        """Those that are normalized with, and added to the moving ones."""
        return mean, variance
