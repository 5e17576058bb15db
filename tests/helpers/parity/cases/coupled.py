"""What knows of other rows, or of a row's place; values that are not one for a row."""

import keras
import tensorflow as tf
from building import BATCH, mlp, numbers, scaled, trained
from keras import ops
from registry import case

import kerascale as ks


def flattened(y_true, y_pred):
    """Three values for a row, in one axis."""
    return ops.reshape(ops.square(ops.one_hot(y_true, 3) - y_pred), (-1,))


def of_some(y_true, y_pred):
    """A value for each row that is not of class 0."""
    counted = y_true > 0
    y_true, y_pred = (tf.boolean_mask(t, counted) for t in (y_true, y_pred))
    return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


def distance(y_true, y_pred):
    """A scalar, which is a mean over rows."""
    return ops.mean(ops.abs(ops.one_hot(ops.cast(y_true, "int32"), 3) - y_pred))


@case("loss of flattened values")
def loss_of_flattened_values():
    return trained(mlp(), loss=flattened)


@case("loss of some rows: boolean_mask")
def loss_of_some_rows():
    return trained(mlp(), loss=of_some)


@case("metric of a function that returns a scalar")
def metric_of_a_scalar_function():
    return trained(mlp(), metrics=[distance], validation=True)


class Network(keras.Model):
    """What the models below share."""

    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(6, activation="tanh")
        self.out = keras.layers.Dense(3, activation="softmax")

    def call(self, x, training=False):
        return self.out(self.hidden(x))


class Halves(Network):
    """Two rows of outputs for one of inputs."""

    def call(self, x):
        return self.out(ops.reshape(self.hidden(x), (-1, 3)))


def _of_halves(y_true, y_pred):
    y_true = ops.repeat(ops.reshape(y_true, (-1,)), 2)
    return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


@case("call with more rows than it was given")
def call_with_more_rows():
    model = scaled(Halves())
    found = trained(model, loss=_of_halves, metrics=None)
    predicted = model.predict(numbers(37, 4), batch_size=BATCH, verbose=0)
    assert len(predicted) == 74
    return {**found, "predictions/more": predicted}


class Remembering(keras.layers.Layer):
    """Takes off a moving mean of all rows, and counts them."""

    def build(self, shape):
        self.mean = self.add_weight(
            name="mean", shape=shape[1:], initializer="zeros", trainable=False
        )
        self.seen = self.add_weight(
            name="seen", shape=(), initializer="zeros", trainable=False
        )

    def call(self, x, training=False):
        if training:
            rows = ks.ops.gather(x)
            self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(rows, axis=0))
            self.seen.assign_add(ops.cast(ops.shape(rows)[0], self.seen.dtype))
        return x - self.mean


@case("layer with a state of its own, of gathered rows")
def layer_with_state():
    return trained(mlp(Remembering(), keras.layers.Dense(6)), validation=True)


class Averaged(Network):
    """A moving average of its weights, behind every update."""

    def build(self, shape):
        self.hidden.build(shape)
        self.out.build((None, 6))
        self.mean = self.add_weight(
            name="mean", shape=(6, 3), initializer="zeros", trainable=False
        )

    def after_update(self):
        self.mean.assign(0.9 * self.mean + 0.1 * self.out.kernel)


@case("after_update: a moving average of weights", default=("workers:2",))
def moving_average():
    return trained(scaled(Averaged()))


class Contrasted(Network):
    """Rows of one class are alike: each is compared with all."""

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        rows, labels = ks.ops.gather((ops.normalize(y_pred), y))
        logits = ops.log_softmax(ops.matmul(rows, ops.transpose(rows)) / 0.2)
        same = ops.cast(labels[:, None] == labels[None, :], logits.dtype)
        return -ops.mean(ops.sum(same * logits, 1) / ops.sum(same, 1))


@case("gather: a contrastive loss")
def contrastive_loss():
    return trained(scaled(Contrasted()), loss=None)


class Spread(Network):
    """How far the batch is from its mean, beside the compiled loss."""

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        far = ops.square(y_pred - ks.ops.global_mean(y_pred))
        return loss - 0.1 * ops.sqrt(ks.ops.global_mean(far, mask=y > 0))


@case("global_mean in a loss")
def global_mean_in_a_loss():
    return trained(scaled(Spread()))


class Drawing(Network):
    """Draws by place, in inference too."""

    def __init__(self):
        super().__init__()
        self.sampling = ks.layers.Sampling(seed=5)

    def call(self, x, training=False):
        hidden = self.hidden(x)
        return self.out(self.sampling((hidden, hidden - 2), training=True))


@case("kerascale.layers.Sampling, in training and in predict")
def sampling():
    model = scaled(Drawing())
    found = trained(model)
    return {**found, "predictions/drawn": model.predict(numbers(37, 4), BATCH, 0)}


class Unseeded(Network):
    """Draws by itself on each replica."""

    def call(self, x, training=False):
        noise = keras.random.normal(ops.shape(x), dtype=x.dtype)
        return super().call(x + noise if training else x)


@case("keras.random without a seed: can be repeated", deterministic=False)
def draws_without_a_seed():
    return trained(scaled(Unseeded()))


class Coupled(Drawing, Spread):
    """Much of the above."""

    def __init__(self):
        super().__init__()
        self.remembering = Remembering()

    def call(self, x, training=False):
        return super().call(self.remembering(x, training=training))


@case(
    "gather in a layer, global_mean in a loss of flattened values, a scalar metric, "
    "Sampling",
    default=("mirrored:2", "workers:2"),
)
def coupled_at_once():
    return trained(
        scaled(Coupled()), epochs=3, loss=flattened, metrics=[distance], validation=True
    )
