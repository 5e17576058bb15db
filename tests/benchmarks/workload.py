"""What a workload is: one model, one batch, one optimizer, for every framework.

It needs NumPy alone, so that each framework's environment can read it.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Workload:
    """One training task, the same for all.

    The weights that all begin with are NumPy arrays in Keras' shapes, in the order of
    Keras' `model.weights`; PyTorch's modules are given the same numbers.

    Args:
        letter: Its name on the command line.
        title: What it is.
        item: What is counted: `examples` or `tokens`.
        batch_size: Examples in a batch.
        items_per_step: Items in a batch.
        steps_per_epoch: Batches in the data.
        first_steps: Steps of the check that all learn alike; no more than an epoch.
        chance_loss: The loss of who has learned nothing.
        loss_tolerance: Relative difference of the losses after `first_steps`.
        flops_per_step: Multiplications and additions of the matrix products, forward
            and backward.
        data: Makes the inputs and the labels, as NumPy arrays.
        weights: Makes the initial weights.
        keras_model: From the `keras` module, the model with logits as its output.
        jax_logits: From `jax`, weights, inputs and a key for dropout (None: in
            inference), the logits.
        torch_model: From `torch` and weights as tensors, the module.
        kerascale_model: From the modules `kerascale` and `keras`, the same model of
            kerascale's layers; None: `keras_model`.
        kerascale_weights: The weights in the order of that.
        jax_weights: The weights as JAX's users lay them out.
        torch_inputs: Inputs as PyTorch's users lay them out.
        loss: `sparse` (classes) or `binary`, both from logits.
        learning_rate: Of Adam.
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
    chance_loss: float
    loss_tolerance: float
    flops_per_step: float
    data: Callable[[], tuple[np.ndarray, np.ndarray]]
    weights: Callable[[], Arrays]
    keras_model: Callable[[Any], Any]
    jax_logits: Callable[..., Any]
    torch_model: Callable[[Any, dict[str, Any]], Any]
    kerascale_model: Callable[[Any, Any], Any] | None = None
    kerascale_weights: Callable[[Arrays], Arrays] = dict
    jax_weights: Callable[[Arrays], Arrays] = dict
    torch_inputs: Callable[[np.ndarray], np.ndarray] = lambda x: x
    loss: str = "sparse"
    learning_rate: float = 1e-3
    beta_2: float = 0.999
    weight_decay: float | None = None

    @property
    def num_parameters(self) -> int:
        return sum(array.size for array in self.weights().values())


BETA_1 = 0.9
EPSILON = 1e-7


def load_all() -> dict[str, Workload]:
    """Letter -> workload, of every module in `workloads/`."""
    package = importlib.import_module(f"{__package__}.workloads")
    found = [
        importlib.import_module(f"{package.__name__}.{module.name}").WORKLOAD
        for module in pkgutil.iter_modules(package.__path__)
    ]
    return {workload.letter: workload for workload in found}


class Draw:
    """Random initial weights, as Keras draws them by default.

    Args:
        seed: The seed.
    """

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def glorot(self, *shape: int, fans: tuple[int, int] | None = None) -> np.ndarray:
        receptive = int(np.prod(shape[:-2]))
        fan_in, fan_out = fans or (receptive * shape[-2], receptive * shape[-1])
        limit = np.sqrt(6 / (fan_in + fan_out))
        return self.random.uniform(-limit, limit, shape).astype("float32")

    def normal(self, *shape: int, deviation: float = 0.02) -> np.ndarray:
        return (deviation * self.random.standard_normal(shape)).astype("float32")

    def uniform(self, *shape: int, limit: float = 0.05) -> np.ndarray:
        return self.random.uniform(-limit, limit, shape).astype("float32")

    def orthogonal(self, rows: int, columns: int) -> np.ndarray:
        square = self.random.standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(square)
        q = q * np.sign(np.diag(r))
        return (q if rows >= columns else q.T).astype("float32")


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, "float32")


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, "float32")


def pictures(num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures of ten patterns, (num, 784), and which pattern it is.

    One label in ten is any: where a loss goes to zero, gradients become denormal
    numbers, which cost some frameworks many times the time of others.
    """
    random = np.random.default_rng(seed)
    patterns = random.uniform(0, 0.3, (10, 784)).astype("float32")
    labels = random.integers(0, 10, num)
    x = random.standard_normal((num, 784), dtype="float32")
    x += patterns[labels]
    any_label = random.integers(0, 10, num)
    labels = np.where(random.uniform(size=num) < 0.1, any_label, labels)
    return x, labels.astype("int32")
