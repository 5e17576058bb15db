"""Steps whose batch is split over the cores: they give what whole steps give."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.engine.execution import split, step_functions
from kerascale.engine.execution.modes import Mode

# 9 batches of 8, and one of 3. An odd number of parts: their sizes differ.
X = np.random.default_rng(0).normal(size=(75, 4))
Y = np.arange(75) % 3


@pytest.fixture(autouse=True)
def _three_parts_in_float64(monkeypatch):
    monkeypatch.setattr(split, "num_parts", lambda batch_size: 3)
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def _trained(
    kind, layers=list, x=X, y=Y, first=None, weighted=False, batch_size=8, **compiled
):
    keras.utils.set_random_seed(1)  # Before the layers draw seeds of their own.
    first = first or (lambda: keras.layers.Dense(8, activation="relu"))
    hidden = [first(), *layers()]
    model = ks.scale(
        keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype), *hidden])
    )
    made = {
        k: v() for k, v in compiled.items() if getattr(v, "__name__", "") == "<lambda>"
    }
    compiled = {**compiled, **made}
    compiled = {
        "optimizer": keras.optimizers.Adam(0.01, global_clipnorm=0.1),
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
        **compiled,
    }
    model.compile(**compiled)
    step_functions.set_mode(model, Mode(kind, 4))
    keras.utils.set_random_seed(2)
    weights = np.linspace(0.5, 2, len(x)) if weighted else None
    history = model.fit(
        x, y, batch_size=batch_size, epochs=2, verbose=0, sample_weight=weights
    ).history
    return model, history


def _differ(one, other):
    """The largest difference of weights, optimizer and history."""
    values = [
        [*(v.numpy() for v in [*m.variables, *m.optimizer.variables]), *h.values()]
        for m, h in (one, other)
    ]
    return max(
        np.abs(np.asarray(a, float) - np.asarray(b, float)).max()
        for a, b in zip(*values, strict=True)
    )


def _softmax():
    return keras.layers.Dense(3, activation="softmax")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"layers": lambda: [_softmax()]}, marks=pytest.mark.slow),
        pytest.param(
            {"layers": lambda: [ks.layers.Dropout(0.3, seed=7), _softmax()]},
            marks=pytest.mark.slow,  # By default it is a cell of the parity matrix.
        ),
        pytest.param(
            {"layers": lambda: [_softmax()], "weighted": True}, marks=pytest.mark.slow
        ),
        pytest.param(
            {
                "layers": lambda: [keras.layers.Dense(3, kernel_regularizer="l2")],
                "loss": lambda: keras.losses.SparseCategoricalCrossentropy(
                    from_logits=True, reduction="sum"
                ),
            },
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {
                "first": lambda: keras.layers.Embedding(5, 3),
                "layers": lambda: [keras.layers.LSTM(4), _softmax()],
                "x": np.random.default_rng(1).integers(0, 5, (75, 6)).astype("int32"),
            },
            marks=pytest.mark.slow,
        ),
        # All that is quick at once.
        {
            "layers": lambda: [
                ks.layers.Dropout(0.3, seed=7),
                keras.layers.Dense(3, kernel_regularizer="l2"),
            ],
            "loss": lambda: keras.losses.SparseCategoricalCrossentropy(
                from_logits=True, reduction="sum"
            ),
            "weighted": True,
        },
    ],
)
def test_split_equals_whole(options, capfd):
    whole, parts = _trained("loop", **options), _trained("split", **options)
    assert parts[0].train_function.kind == "split"
    assert _differ(whole, parts) < 1e-10
    losses = [step_functions.step_losses(model) for model, _ in (whole, parts)]
    np.testing.assert_allclose(*losses, rtol=1e-10)
    assert "not split" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("times", "comparisons"),
    [(1.0, 1), pytest.param(np.nan, 2, marks=pytest.mark.slow)],
)
def test_parts_are_compared_once(times, comparisons, tmp_path, monkeypatch):
    """Of what is not finite nothing is known."""
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path))
    model, _ = _trained("loop", lambda: [_softmax()])
    compared = []
    compare = split.parity_check.compare

    def counted(*arguments):
        compared.append(arguments)
        return compare(*arguments)

    monkeypatch.setattr(split.parity_check, "compare", counted)
    batch = (tf.constant(X[:8] * times), tf.constant(Y[:8]))
    for _ in range(2):  # As in the next process.
        assert not split.SplitStep(model, 8, 3).problem(batch)
    assert len(compared) == comparisons
    assert not split.SplitStep(model, 8, 2).problem(batch)  # Other parts.
    assert len(compared) == comparisons + 1


@pytest.mark.slow
def test_a_repeated_run_has_the_same_bits():
    one, other = (
        _trained("split", lambda: [ks.layers.Dropout(0.3, seed=7), _softmax()])
        for _ in range(2)
    )
    assert _differ(one, other) == 0


class Centered(keras.layers.Layer):
    """Rows that know the mean of the batch, and say nothing of it."""

    def call(self, x):
        return x - tf.reduce_mean(x, 0)


class Counting(keras.layers.Layer):
    """It has a state of its own."""

    def build(self, shape):
        self.calls = self.add_weight(initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign_add(1)
        return x


@pytest.mark.parametrize(
    ("layers", "compiled", "reason"),
    [
        (lambda: [keras.layers.BatchNormalization()], {}, "batch_norm"),
        (lambda: [keras.layers.Dropout(0.3)], {}, "dropout"),
        (lambda: [Centered()], {}, "outputs for a row depend on the other rows"),
        (
            list,
            {"optimizer": lambda: keras.optimizers.SGD(gradient_accumulation_steps=2)},
            "gradients are accumulated",
        ),
        (
            lambda: [Counting()],
            {},
            "a step changes",
        ),
        (
            lambda: [keras.layers.SpectralNormalization(keras.layers.Dense(4))],
            {},
            "",
        ),
    ],
)
def test_what_cannot_be_split_runs_whole_and_is_told(layers, compiled, reason, capfd):
    def trained(kind):
        return _trained(kind, lambda: [*layers(), _softmax()], **compiled)

    whole, parts = trained("loop"), trained("split")
    said = capfd.readouterr().err
    assert "note: steps are not split" in said
    assert reason in said
    assert parts[0].train_function.kind == "loop"
    assert _differ(whole, parts) == 0


def test_the_mask_of_padding_is_split_only_where_it_can_be(capfd):
    # The loss is divided by the number of valid positions of the whole batch.
    x = np.random.default_rng(1).integers(0, 5, (75, 6)).astype("int32")

    def trained(kind):
        return _trained(
            kind,
            lambda: [_softmax()],
            x,
            x % 3,
            first=lambda: keras.layers.Embedding(5, 3, mask_zero=True),
        )

    whole, parts = trained("loop"), trained("split")
    assert "from each other" in capfd.readouterr().err
    assert _differ(whole, parts) == 0


def _one():
    return [keras.layers.Dense(1)]


def _mean_of_some(y_true, y_pred):
    """A scalar, over the rows of one class."""
    counted = tf.cast(y_true > 0, y_pred.dtype)
    return tf.reduce_sum(tf.square(y_pred - 1) * counted) / tf.reduce_sum(counted)


def test_a_first_batch_that_agrees_by_chance_is_not_enough(capfd):
    # In the first batch each part has as many rows of a class as the others.
    y = np.array([0, 1] * 3 + [0, 0, 1, 1, 0, 1] * 4)[:, None]
    options = {"y": y, "x": X[: len(y)], "batch_size": 6, "metrics": None}

    def trained(kind):
        return _trained(kind, _one, loss=_mean_of_some, **options)

    whole, parts = trained("loop"), trained("split")
    assert (
        "not split, but run as they are: the loss '_mean_of_" in capfd.readouterr().err
    )
    assert _differ(whole, parts) == 0


def test_a_scalar_metric_counts_parts_by_their_rows(capfd):
    def distance(y_true, y_pred):
        return tf.reduce_mean(tf.abs(y_pred - y_true))

    options = {"y": Y[:, None] + 0.5, "loss": "mse", "metrics": [distance]}
    whole, parts = (_trained(kind, _one, **options) for kind in ("loop", "split"))
    assert "not split" not in capfd.readouterr().err
    assert parts[0].train_function.kind == "split"
    assert _differ(whole, parts) < 1e-10
