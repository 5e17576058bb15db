"""What a TPU needs: steps that XLA compiles, of shapes that are known beforehand.

There is no TPU here. The compiler is the same one, and the slices are those that a TPU
would be given.
"""

import json

import pytest

import kerascale as ks

# Small: what is tried is what a step is made of, not its size.
FIELDS = {
    "mlp": {"units": [8], "dropout": 0.3, "l2": 1e-4},
    "cnn": {"filters": [4], "dense_units": 8},
    "cnn, residual": {"filters": [4], "dense_units": 8, "residual": True},
    "finetune": {"dropout": 0.2},
    "rnn": {"units": [8], "dropout": 0.2},
    "transformer": {"num_layers": 1, "width": 16, "dropout": 0.1},
    "language_model": {"num_layers": 1, "width": 16, "dropout": 0.1},
}

COMPILE = """
import sys, json
import keras, tensorflow as tf
import kerascale as ks
from kerascale.training.build import make_datasets, make_model
from kerascale.engine.compat import keras_private
from kerascale.engine.step import build
from kerascale.engine.step.losses import GlobalLoss
from kerascale.engine.step.step import TrainStep

def compile_step(name, fields):
    recipe = ks.load_recipe(name)
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    config = recipe.Config(batch_size=8, **fields)
    datasets = make_datasets(recipe, config)
    model = make_model(recipe, config, datasets)
    x, y = next(iter(datasets.train.dataset()))
    build.build(model, (x, y))
    keras_private.wrap_losses(model, GlobalLoss)
    step = TrainStep(model)
    step.replicas = 2  # The place counts; there is nobody to talk to.
    vars(model)["optimizer"] = step.view

    def one(x, y):
        where = tf.constant([16, 8, 5, 1], tf.int64)
        return step._compute(((x, y), where))[0]

    compiled = tf.function(one, jit_compile=True, autograph=False)
    gradients = compiled(x, y)
    hlo = compiled.experimental_get_compiler_ir(x, y)(stage="hlo")
    # Bounded dynamic shapes are written f32[<=8]: there are none.
    assert "<=" not in hlo.split("ENTRY")[0].splitlines()[0]
    assert gradients


for name, fields in json.loads(sys.argv[1]).items():
    try:
        compile_step(name.split(",")[0], fields)
        print(name, "compiles")
    except Exception as error:
        print(name, "FAILED", repr(error)[:2000].replace("\\n", " "))
"""


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(list(FIELDS), marks=pytest.mark.slow, id="all"),
        # One with batch statistics, one with attention.
        pytest.param(["cnn, residual", "transformer"], id="some"),
    ],
)
def test_replica_step_of_every_recipe_compiles(names, run_python):
    fields = {name: FIELDS[name] for name in names}
    printed = run_python(COMPILE, json.dumps(fields), imported=True).stdout.splitlines()
    assert printed == [f"{name} compiles" for name in names]


def test_every_recipe_is_tried():
    assert {name.split(",")[0] for name in FIELDS} == set(ks.recipe_names())


FILLED = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import kerascale as ks
from kerascale.engine.data import slices
keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")
rng = np.random.default_rng(0)
x, y = rng.normal(size=(41, 6)), rng.integers(0, 3, 41)  # Batches of 8; the last has 1.

def train(strategy):
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = ks.scale(keras.Sequential([
            keras.Input((6,)),
            keras.layers.Dense(8, use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            ks.layers.Dropout(0.3),
            keras.layers.Dense(3, activation="softmax"),
        ]))
        model.compile(
            keras.optimizers.Adam(0.01, global_clipnorm=0.5),
            "sparse_categorical_crossentropy", metrics=["accuracy"],
            weighted_metrics=["accuracy", keras.metrics.SparseCategoricalCrossentropy(
                name="entropy")])
        weights = np.linspace(0.5, 2, 41)
        history = model.fit(x, y, batch_size=8, epochs=3, verbose=0,
            sample_weight=weights, validation_data=(x[:13], y[:13]))
    return [*model.get_weights(), *map(np.array, history.history.values())]

expected = train(tf.distribute.get_strategy())
seen = []
plain = slices.cut

def cut(batch, ids, num_replicas, static=None):
    seen.append(static)
    return plain(batch, ids, num_replicas, static)

# As if it were a TPUStrategy.
slices.static_rows = lambda strategy, batch_size: -(-batch_size // 2)
slices.cut = cut
got = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
assert 4 in seen, seen
worst = max(np.abs(a - b).max() / np.abs(a).max() for a, b in zip(expected, got))
print(worst)
assert worst < 1e-10, worst
"""


def test_filled_slices_keep_the_law(run_python):
    run_python(FILLED, imported=True)


def test_tpu_refuses_batches_of_unknown_size(run_python):
    run_python(
        """
import pytest, tensorflow as tf
import kerascale as ks
from kerascale.engine.data import slices

class Stub(tf.distribute.TPUStrategy):
    num_replicas_in_sync = 8

    def __init__(self):
        pass

assert slices.static_rows(Stub(), 30) == 4
with pytest.raises(ks.RefusedError, match="one size, known beforehand"):
    slices.static_rows(Stub(), None)
""",
        imported=True,
    )
