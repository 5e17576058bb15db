"""What is trained: five usual models, on random data that is made on the spot.

They are those of `tests/benchmarks`, where they are compared with other frameworks; a
test holds them together. What makes data and models is given the modules that it needs,
so that the command line names the workloads without importing any of them.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from kerascale.errors import RefusedError

_CHARACTERS = 65


@dataclasses.dataclass(frozen=True)
class Workload:
    """One training task.

    Args:
        letter: Its name on the command line.
        title: What it is.
        item: What is counted: `examples` or `tokens`.
        batch_size: Examples in a batch.
        items_per_step: Items in a batch.
        steps_per_epoch: Batches in the data.
        first_steps: Steps after which a start is over; no more than an epoch.
        flops_per_step: Multiplications and additions of the products of matrices and
            the convolutions, forward and backward.
        make_data: From a NumPy generator and the number of examples, inputs and labels.
        make_model: From the modules `kerascale` and `keras`, a model with logits as
            its output.
        loss: `sparse` (classes) or `binary`, both from logits.
        beta_2: Of Adam.
        weight_decay: Of AdamW; None: Adam.
    """

    letter: str
    title: str
    item: str
    batch_size: int
    items_per_step: int
    steps_per_epoch: int
    first_steps: int
    flops_per_step: float
    make_data: Callable[[Any, int], tuple[Any, Any]]
    make_model: Callable[[Any, Any], Any]
    loss: str = "sparse"
    beta_2: float = 0.999
    weight_decay: float | None = None

    @property
    def num_examples(self) -> int:
        return self.batch_size * self.steps_per_epoch

    def make_optimizer(self, keras: Any) -> Any:
        """Adam or AdamW, from the module `keras`."""
        options = {"learning_rate": 1e-3, "beta_2": self.beta_2}
        if self.weight_decay is None:
            return keras.optimizers.Adam(**options)
        return keras.optimizers.AdamW(weight_decay=self.weight_decay, **options)

    def make_loss(self, keras: Any) -> Any:
        """The loss, from the module `keras`."""
        if self.loss == "binary":
            return keras.losses.BinaryCrossentropy(from_logits=True)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def named(letters: str) -> list[Workload]:
    """The workloads of letters with commas between them, each once.

    Raises:
        RefusedError: If one of them is none, or there is none.
    """
    asked = dict.fromkeys(part.strip().upper() for part in letters.split(","))
    if not set(asked) <= set(WORKLOADS):
        raise RefusedError(
            f"workloads: expected letters of {', '.join(WORKLOADS)}, such as A,D. "
            f"Received: {letters!r:.80}. kerascale bench --help says what they are."
        )
    return [WORKLOADS[letter] for letter in asked]


def _pictures(random: Any, num: int, *, shape: Sequence[int]) -> tuple[Any, Any]:
    """Noise around one of ten patterns, and which one.

    One label in ten is any: where a loss goes to zero, gradients become denormal
    numbers, which processors multiply slowly.
    """
    patterns = random.uniform(0, 0.3, (10, *shape)).astype("float32")
    labels = random.integers(0, 10, num, dtype="int32")
    x = random.standard_normal((num, *shape), dtype="float32")
    x += patterns[labels]
    is_any = random.uniform(size=num) < 0.1
    labels[is_any] = random.integers(0, 10, is_any.sum())
    return x, labels


def _reviews(random: Any, num: int) -> tuple[Any, Any]:
    """Words, of which the odd ones are more frequent in one of two classes."""
    labels = random.integers(0, 2, (num, 1))
    words = random.integers(0, 5_000, (num, 100))
    odd = random.uniform(size=words.shape) < 0.3 + 0.4 * labels
    return (2 * words + odd).astype("int32"), labels.astype("float32")


def _text(random: Any, num: int, *, length: int) -> tuple[Any, Any]:
    """Characters, each mostly a fixed step behind the one before it."""
    leaps = random.choice([1, 2, 3, 33], (num, length), p=[0.5, 0.2, 0.2, 0.1])
    text = (leaps.cumsum(1) % _CHARACTERS).astype("int32")
    following = (text + random.integers(1, 4, (num, 1))) % _CHARACTERS
    following[:, :-1] = text[:, 1:]
    return text, following.astype("int32")


def _mlp(ks: Any, keras: Any) -> Any:
    dense = ks.layers.Dense
    hidden = dense(512, activation="relu")
    return keras.Sequential([keras.Input((784,)), hidden, dense(10)])


def _cnn(ks: Any, keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )


def _lstm(ks: Any, keras: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((100,), dtype="int32"),
            keras.layers.Embedding(10_000, 64),
            ks.layers.LSTM(128),
            ks.layers.Dense(1),
        ]
    )


def _transformer(
    letter: str, *, layers: int, heads: int, width: int, length: int, **values: Any
) -> Workload:
    """A causal Transformer over characters, with AdamW as nanoGPT sets it."""

    def make_model(ks: Any, keras: Any) -> Any:
        stack = ks.layers.TransformerStack(layers, heads, 4 * width, causal=True)
        inputs = keras.Input((length,), dtype="int32")
        x = stack(keras.layers.Embedding(_CHARACTERS, width)(inputs))
        logits = ks.layers.Dense(_CHARACTERS, use_bias=False)(x)
        return keras.Model(inputs, logits)

    batch_size = values["batch_size"]
    matrices = 12 * layers * width**2 + width * _CHARACTERS
    attention = 12 * layers * length * width
    return Workload(
        letter=letter,
        title=f"Transformer, {layers} layers, {width} wide, {length} characters, "
        f"AdamW, batch {batch_size}",
        item="tokens",
        items_per_step=batch_size * length,
        flops_per_step=batch_size * length * (6 * matrices + attention),
        make_data=functools.partial(_text, length=length),
        make_model=make_model,
        beta_2=0.99,
        weight_decay=0.1,
        **values,
    )


_ALL = (
    Workload(
        letter="A",
        title="MLP 784-512-10, Adam, batch 128",
        item="examples",
        batch_size=128,
        items_per_step=128,
        steps_per_epoch=400,
        first_steps=100,
        # The first layer needs no gradient of its inputs.
        flops_per_step=128 * (4 * 784 * 512 + 6 * 512 * 10),
        make_data=functools.partial(_pictures, shape=(784,)),
        make_model=_mlp,
    ),
    Workload(
        letter="B",
        title="CNN, two convolutions, dropout, Adam, batch 128",
        item="examples",
        batch_size=128,
        items_per_step=128,
        steps_per_epoch=48,
        first_steps=48,
        flops_per_step=128
        * (
            4 * 26**2 * 9 * 32
            + 6 * 24**2 * 9 * 32 * 64
            + 6 * (12**2 * 64 * 128 + 128 * 10)
        ),
        make_data=functools.partial(_pictures, shape=(28, 28, 1)),
        make_model=_cnn,
    ),
    Workload(
        letter="C",
        title="embedding 64, LSTM 128 over 100 steps, Adam, batch 64",
        item="examples",
        batch_size=64,
        items_per_step=64,
        steps_per_epoch=112,
        first_steps=60,
        flops_per_step=64 * 100 * 6 * (64 + 128) * 4 * 128,
        make_data=_reviews,
        make_model=_lstm,
        loss="binary",
    ),
    # nanoGPT's setting for a CPU.
    _transformer(
        "D",
        layers=4,
        heads=4,
        width=128,
        length=64,
        batch_size=12,
        steps_per_epoch=112,
        first_steps=100,
    ),
    # Its "baby" size, in smaller batches. A step takes more than a second on a small
    # machine: an epoch is short.
    _transformer(
        "E",
        layers=6,
        heads=6,
        width=384,
        length=256,
        batch_size=8,
        steps_per_epoch=16,
        first_steps=16,
    ),
)
WORKLOADS = {workload.letter: workload for workload in _ALL}
