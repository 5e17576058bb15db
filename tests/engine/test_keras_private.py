"""Guards of the private names of Keras that the engine uses.

Each test says what to do when a release of Keras breaks it. All uses are in
`kerascale/engine/compat/keras_private.py`, so that is the file to change.
"""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.engine.compat import keras_private


def _model(**arguments):
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(3, activation="softmax")(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(
        arguments.pop("optimizer", "adam"),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        **arguments,
    )
    return model


def _batch():
    spec = keras.KerasTensor((None, 4)), keras.KerasTensor((None,), "int32")
    return spec


def test_fit_takes_a_data_adapter():
    """If `fit` refuses it: find how this release takes a custom data adapter."""
    seen = []

    class Adapter(keras_private.DataAdapter):
        num_batches, batch_size = 1, 2
        has_partial_batch = partial_batch_size = None

        def get_tf_dataset(self):
            seen.append(True)
            data = (np.ones((2, 4)), np.zeros(2))
            return tf.data.Dataset.from_tensors(data)

    _model().fit(Adapter(), verbose=0)
    assert seen


def test_arrays_of_an_adapter():
    """If it fails: `ArrayDataAdapter` holds its arrays under other names."""
    adapter = keras_private.adapter(x=np.ones((6, 4)), y=np.ones(6), batch_size=4)
    (x, y), batch_size = keras_private.arrays_of(adapter)
    assert (x.shape, y.shape, batch_size) == ((6, 4), (6,), 4)
    dataset = tf.data.Dataset.range(3)
    assert keras_private.arrays_of(keras_private.adapter(x=dataset)) is None


def test_class_weights_become_sample_weights():
    adapter = keras_private.adapter(
        x=np.ones((3, 4)), y=np.array([0, 1, 1]), class_weight={0: 2.0, 1: 3.0}
    )
    np.testing.assert_array_equal(keras_private.arrays_of(adapter)[0][2], [2, 3, 3])


def test_validation_split_is_the_last_part():
    (x, _, _), (val_x, _, _) = keras_private.split_validation(
        (np.arange(10), np.arange(10), None), 0.2
    )
    assert list(x) == list(range(8))
    assert list(val_x) == [8, 9]


def test_compiled_losses_are_where_we_look():
    """If it fails: `CompileLoss` holds its losses otherwise; see `wrap_losses`."""
    model = _model()
    keras_private.build(model, _batch())
    seen = []

    def wrap(loss):
        assert isinstance(loss, keras.Loss)

        def call(y_true, y_pred, sample_weight=None):
            seen.append(loss.name)
            return loss(y_true, y_pred, sample_weight)

        return call

    keras_private.wrap_losses(model, wrap)
    model.compute_loss(y=np.zeros(2), y_pred=np.full((2, 3), 1 / 3, "float32"))
    assert seen == ["sparse_categorical_crossentropy"]
    assert keras_private.compiled_loss(model) is not None
    assert keras_private.loss_tracker(model).name == "loss"


def test_build_builds_all_and_runs_nothing():
    """If it fails: `_symbolic_build` has another name or builds less."""
    inputs_seen = []

    class Net(ks.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            inputs_seen.append(x)
            return self.dense(x)

    model = Net()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert not keras_private.is_built(model, model.default_compute_loss)
    keras_private.build(model, _batch())
    assert keras_private.is_built(model, model.default_compute_loss)
    assert not any(hasattr(x, "numpy") for x in inputs_seen)  # No data.
    assert model.optimizer.built


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b"]])
def test_build_does_not_call_a_model_whose_outputs_are_known(names, monkeypatch):
    """If it fails: `_outputs_struct` or `compute_output_spec` has moved."""

    def of_each(value):
        return {name: value for name in names} if names else value

    def make():
        x, dense = keras.Input((4,)), keras.layers.Dense(3)
        if not names:
            return keras.Sequential([x, dense])
        return keras.Model(x, {name: keras.layers.Dense(3)(x) for name in names})

    models = make(), ks.scale(make())
    for model in models:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", of_each(loss), metrics=of_each(["accuracy"]))
    model = models[1]
    x, y = (
        keras.KerasTensor((None, 4), "float32"),
        keras.KerasTensor((None,), "int32"),
    )
    with monkeypatch.context() as patched:
        patched.setattr(type(model), "__call__", lambda *_, **__: pytest.fail("called"))
        keras_private.build(model, (x, of_each(y), None))
    assert keras_private.is_built(model, model.default_compute_loss)
    data = np.zeros((5, 4), "float32"), of_each(np.zeros(5, "int32"))
    told = [each.train_on_batch(*data, return_dict=True) for each in models]
    assert told[0].keys() == told[1].keys()


def test_metrics_by_row_are_those_of_the_rows_that_count():
    """If it fails: `CompileMetrics` holds its metrics otherwise."""
    y = np.array([0, 1, 2, 0])
    y_pred = np.eye(3, dtype="float32")[[0, 1, 0, 1]]

    def results(rows):
        model = _model(weighted_metrics=["accuracy"])
        keras_private.build(model, _batch())
        model.reset_metrics()
        weight = tf.constant([1.0, 3.0, 1.0, 5.0])
        if rows is None:
            data = tf.constant(y[:3]), tf.constant(y_pred[:3]), weight[:3]
            keras_private.update_compiled_metrics(model, *data)
        else:
            data = tf.constant(y), tf.constant(y_pred), weight
            keras_private.update_compiled_metrics_by_row(model, *data, rows)
        return {k: float(v) for k, v in model.get_metrics_result().items()}

    expected = results(None)
    assert expected["accuracy"] == pytest.approx(2 / 3)
    assert expected["weighted_accuracy"] == pytest.approx(4 / 5)
    assert results(tf.constant([1.0, 1.0, 1.0, 0.0])) == pytest.approx(expected)


def test_prepared_optimizer_keeps_values_places_and_names():
    """If it fails: the order or the names in saved optimizers would change."""
    variable = keras.Variable([1.0, 2.0], name="w")
    optimizer = keras.optimizers.Adam(0.1, gradient_accumulation_steps=2)
    optimizer.build([variable])
    optimizer.apply([tf.constant([1.0, 1.0])], [variable])
    before = [(v.path, v.numpy().tolist()) for v in optimizer.variables]
    keras_private.prepare_optimizer(optimizer)
    assert [(v.path, v.numpy().tolist()) for v in optimizer.variables] == before
    counter = keras_private.micro_batches(optimizer)
    assert counter.value.aggregation == tf.VariableAggregation.NONE
    (sums,) = keras_private.accumulators(optimizer)
    assert sums.value.synchronization == tf.VariableSynchronization.ON_READ
    assert any(v is sums for v in optimizer.variables)


def test_moments_are_asked_for():
    """If it fails: `BatchNormalization` no longer calls `_moments(inputs, mask)`."""
    asked = []

    class Asked(keras_private.Moments):
        def global_moments(self, inputs, mask, axes):
            asked.append((mask is None, list(axes)))

    layer = keras.layers.BatchNormalization()
    layer.build((None, 5, 3))
    keras_private.adopt_class(layer, Asked)
    layer(np.ones((2, 5, 3), "float32"), training=True)
    assert asked == [(True, [0, 1])]
    assert type(layer).__name__ == "BatchNormalization"


def test_adopted_class_before_or_behind():
    class Plain(keras.Model):
        def which(self):
            return "plain"

    class Added(keras.Model):
        def which(self):
            return "added"

    assert keras_private.adopt_class(Plain(), Added).which() == "added"
    assert keras_private.adopt_class(Plain(), Added, behind=True).which() == "plain"


def test_unseeded_draws_are_from_a_generator_that_is_given():
    """If it fails: find where Keras keeps the generator of a thread."""
    given, other = (keras.random.SeedGenerator(5) for _ in range(2))
    with keras_private.unseeded_draws_from(given):
        drawn = keras.random.normal((3,))
    np.testing.assert_array_equal(
        drawn, keras.random.normal((3,), seed=int(other.state.numpy()[0]))
    )
    assert given.state.numpy().tolist() != other.state.numpy().tolist()
    before = given.state.numpy().tolist()
    keras.random.normal((3,))
    assert given.state.numpy().tolist() == before


def test_seed_generators_of_a_layer():
    """If it fails: find what Keras tracks them in."""
    layer = keras.layers.Layer()
    layer.one, layer.more = (
        keras.random.SeedGenerator(1),
        [keras.random.SeedGenerator(2)],
    )
    assert keras_private.seed_generators(layer) == [layer.one, *layer.more]


def test_what_compile_was_given_as_metrics():
    """If it fails: find where `CompileMetrics` keeps what it was given."""
    metric = keras.metrics.MeanSquaredError()
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert keras_private.given_metrics(model) == []
    model.compile(metrics=["mae", metric], weighted_metrics=[metric])
    given = keras_private.given_metrics(model)
    assert [each for each in given if each is not None] == ["mae", metric, metric]


def test_the_schedule_of_an_optimizer():
    """If it fails: a rollback could not lower the rates of a schedule."""
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert keras_private.schedule_of(keras.optimizers.Adam(decay)) is decay
    assert keras_private.schedule_of(keras.optimizers.Adam(0.1)) is None


def test_a_weights_file_in_memory_is_that_on_disk(tmp_path):
    """If it fails: find how this release writes weights into an `io.BytesIO`."""
    model = _model()
    content, places = keras_private.weights_file(model)
    path = tmp_path / "memory.weights.h5"
    path.write_bytes(content)
    before = model.get_weights()
    model.set_weights([np.zeros_like(w) for w in before])
    model.load_weights(path)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    model.set_weights(before)
    model.save_weights(tmp_path / "disk.weights.h5")
    # HDF5 rounds the size of a file on the disk up.
    assert abs(len(content) - (tmp_path / "disk.weights.h5").stat().st_size) < 4096
    assert {id(value) for _, value in places} >= {id(v) for v in model.variables}
    for place, value in places:
        array = np.frombuffer(content, value.dtype, int(np.prod(value.shape)), place)
        np.testing.assert_array_equal(array, value.numpy().reshape(-1))


def test_added_losses_are_those_of_a_thread():
    class Adding(keras.layers.Layer):
        def call(self, inputs):
            self.add_loss(keras.ops.sum(inputs))
            return inputs

    model = keras.Sequential([keras.Input((2,)), Adding()])
    keras_private.keep_added_losses_apart(model)
    model(np.ones((1, 2), "float32"))
    elsewhere = []

    def other():
        model(np.ones((3, 2), "float32"))
        elsewhere.extend(float(loss) for loss in model.losses)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert elsewhere == [6.0]
    assert [float(loss) for loss in model.losses] == [2.0]
    with keras_private.Aside([]):
        model(np.ones((2, 2), "float32"))
        assert [float(loss) for loss in model.losses] == [4.0]


def test_logits_stand_behind_the_probabilities_of_a_softmax():
    """If they are not found: distillation rounds probabilities near 0 to 0."""
    logits = tf.constant([[0.0, 200.0]])
    found = keras_private.logits_of(keras.activations.softmax(logits))
    np.testing.assert_array_equal(found, logits)
    layer = keras.layers.Dense(2, activation="softmax", kernel_initializer="identity")
    np.testing.assert_array_equal(keras_private.logits_of(layer(logits)), logits)
    assert keras_private.logits_of(tf.constant([0.5, 0.5])) is None


def test_an_optimizer_forgets_variables_that_were_added():
    """If it does not: masks of a pruned model stay in what `model.save` writes."""
    optimizer = keras.optimizers.Adam()
    optimizer.build([keras.Variable(np.zeros(3))])
    before = [v.path for v in optimizer.variables]
    added = optimizer.add_variable((3,), name="mask")
    assert optimizer.variables[-1] is added
    keras_private.forget(optimizer, [added])
    assert [v.path for v in optimizer.variables] == before


def test_a_model_of_one_device():
    """If it fails: variables, or who knows the strategy, have other private names."""
    model = _model()
    kernel = model.trainable_variables[0]
    before, other = kernel.value, tf.Variable(tf.zeros_like(kernel.value))
    model._distribute_strategy = strategy = tf.distribute.get_strategy()
    with keras_private.of_one_device(model, [(kernel, other)]):
        assert kernel.value is other
        assert not model.trainable_variables[0].numpy().any()
        assert model._distribute_strategy is None
        assert model.optimizer._distribution_strategy is strategy
    assert kernel.value is before
    assert model.distribute_strategy is strategy


def test_a_built_layer_takes_one_more_variable():
    """If it fails: `_tracker` or the lists of a layer's variables have other names."""
    layer = keras.layers.LSTMCell(2)
    layer.build((None, 3))
    own = list(layer.variables)
    with pytest.raises(ValueError, match="already built"):
        layer.add_weight(shape=(2,))
    added = keras_private.add_variable(layer, shape=(2,), name="guest")
    assert layer.trainable_variables[-1] is added
    with pytest.raises(ValueError, match="already built"):
        layer.add_weight(shape=(2,))
    store = {}
    with keras_private.hidden(layer, [added]):
        layer.save_own_variables(store)
        layer.load_own_variables(store)
    assert len(store) == 3  # Of the cell itself: kernels and bias.
    assert layer.trainable_variables[-1] is added
    keras_private.remove_variable(layer, added)
    assert [id(v) for v in layer.variables] == [id(v) for v in own]


def test_direct_layers_are_those_of_one_level():
    """If it fails: `_flatten_layers` takes other arguments."""
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="deep")])
    model = keras.Sequential([keras.Input((2,)), inner])
    assert inner in keras_private.direct_layers(model)
    assert "deep" not in [layer.name for layer in keras_private.direct_layers(model)]


def test_a_generator_that_came_later():
    """If it fails: a layer keeps what it draws from under another name."""
    model = _model()
    before = len(model.variables)
    generator = keras.random.SeedGenerator(1)
    keras_private.add_seed_generator(model, generator)
    assert model.variables[-1] is generator.state or len(model.variables) == before + 1
    assert generator in keras_private.seed_generators(model)
    keras_private.remove_seed_generator(model, generator)
    assert len(model.variables) == before


def test_losses_before_the_first_step():
    """If it fails: compiled losses are built, or held, in another way."""
    model = _model()
    (loss,) = keras_private.losses_for(model, tf.constant([0, 1]), tf.ones((2, 3)) / 3)
    assert loss.call(tf.constant([0, 1]), tf.ones((2, 3)) / 3).shape == (2,)


def test_whether_a_layer_takes_training():
    """If it fails: find how Keras knows that `call` takes `training`."""
    assert keras_private.takes_training(keras.layers.Dropout(0.1))
    assert not keras_private.takes_training(keras.layers.Flatten())
