"""`adapt` freezes a model and gives it adapters; `merge` makes a plain one of it."""

import zlib
from collections.abc import Sequence

import keras

from kerascale.compression.adapters import hosts, targets
from kerascale.compression.adapters.frozen import Frozen
from kerascale.compression.adapters.low_rank import Adapter
from kerascale.compression.adapters.targets import Target
from kerascale.engine.compat import keras_private
from kerascale.engine.scaling import scale_as_told
from kerascale.errors import RefusedError


def adapt(
    model: keras.Model,
    rank: int,
    *,
    alpha: float | None = None,
    layers: Sequence[str] = (),
    seed: int = 0,
) -> keras.Model:
    """Freezes a model, and adds a trained product of two small matrices to its kernels.

    W becomes W + alpha / rank * A B, with A of shape (inputs, rank) and B of shape
    (rank, outputs): Hu et al. 2021, "LoRA". Nothing else trains: biases, normalization
    and the statistics of batch normalization stay as they are, and regularizers of
    kernels do not count. One of both matrices begins with zeros, so that the model
    answers as before.

    What `model.save` writes is a plain Keras model with the sums for kernels.
    `model.save_weights` writes kernels and matrices apart; `load_weights` reads them
    into a model of the same adapters, which goes on training where it was.

    Args:
        model: Built: Functional, Sequential or subclassed, with `Dense`, `EinsumDense`
            or `Embedding` layers, or LSTM, GRU and simple recurrent layers. If it is
            compiled, it gets a new optimizer.
        rank: Columns of A; at most the smaller side of each kernel.
        alpha: What the change is multiplied by, times rank; None: rank.
        layers: Names of layers, or patterns of their paths such as `stack/*/hidden`,
            whose kernels get adapters. Empty: all that can have them.
        seed: Decides the matrices that do not begin with zeros.

    Returns:
        The same object.

    Raises:
        RefusedError: If an argument is wrong, or the model has adapters already, has a
            constraint on a kernel, or has none of these layers.

    Example:

    ```python
    model = adapt(keras.saving.load_model("base.keras"), rank=4)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=3)
    save(model, "adapter.npz")
    merge(model).export("served/1")
    ```
    """
    _refuse_wrong(model, rank, alpha)
    found = targets.find(model)
    if not found:
        raise RefusedError(
            "adapters: expected a model with dense, einsum, embedding or recurrent "
            f"layers. Received: {type(model).__name__} without any that has no "
            "adapter yet."
        )
    chosen = targets.chosen(found, layers)
    _refuse_kernels(chosen, rank)
    scale = (rank if alpha is None else alpha) / rank
    give(model, found, chosen, rank, scale, seed)
    return model


def give(
    model: keras.Model,
    found: Sequence[Target],
    chosen: Sequence[Target],
    rank: int,
    scale: float,
    seed: int,
) -> None:
    """Gives adapters to some kernels, and freezes the rest.

    Args:
        model: Without adapters.
        found: All of its kernels that can have one.
        chosen: Those that get one.
        rank: As in `adapt`.
        scale: alpha / rank.
        seed: As in `adapt`.
    """
    scale_as_told(model)
    with model.distribute_strategy.scope():
        for place, target in enumerate(found):
            if any(target is other for other in chosen):
                _add(target, rank, scale, zlib.crc32(f"{seed}/{place}".encode()))
    keras_private.adopt_class(model, hosts.AdaptedModel)
    # Past Keras' own __setattr__, which would track it.
    vars(model)[hosts.FROZEN] = Frozen.of(model, base_weights(model))
    _start_anew(model)


def merge(model: keras.Model) -> keras.Model:
    """Adds to each kernel what its adapter adds, and takes the adapters away.

    Args:
        model: Of `adapt`.

    Returns:
        The same object, which answers as before, and in which all trains that did
        before `adapt`. If it is compiled, it gets a new optimizer.

    Raises:
        RefusedError: If it has no adapters.
    """
    refuse_without(model)
    for layer in keras_private.all_layers(model):
        for adapter in hosts.adapters_of(layer).values():
            adapter.base.assign(adapter.added_to(adapter.base))
    drop(model)
    return model


def drop(model: keras.Model) -> None:
    """Takes the adapters away; what they added is gone."""
    for layer in keras_private.all_layers(model):
        for adapter in hosts.adapters_of(layer).values():
            for variable in (adapter.a, adapter.b):
                keras_private.remove_variable(layer, variable)
        vars(layer).pop(hosts.ADAPTERS, None)
    vars(model).pop(hosts.FROZEN).undo()
    _start_anew(model)


def count(model: keras.Model) -> int:
    """How many numbers its adapters have."""
    return sum(v.shape.num_elements() for v in _own(model))


def is_adapted(model: keras.Model) -> bool:
    """Whether it has adapters."""
    return hosts.FROZEN in vars(model)


def refuse_without(model: keras.Model) -> None:
    if not is_adapted(model):
        raise RefusedError(
            "adapters: expected a model that has some. Received: "
            f"{type(model).__name__} without. Call "
            "kerascale.compression.adapters.adapt first."
        )


def base_weights(model: keras.Model) -> list[keras.Variable]:
    """All weights but those of adapters, in the model's order."""
    own = {id(v) for v in _own(model)}
    return [v for v in model.weights if id(v) not in own]


def _own(model: keras.Model) -> list[keras.Variable]:
    return [
        v
        for layer in keras_private.all_layers(model)
        for adapter in hosts.adapters_of(layer).values()
        for v in (adapter.a, adapter.b)
    ]


def _add(target: Target, rank: int, scale: float, seed: int) -> None:
    rows, columns = target.shape
    first, second = keras.initializers.HeUniform(seed), "zeros"
    if target.name == "embeddings":
        # A row is looked up, not summed; what training does not see stays as it is.
        first = "zeros"
        second = keras.initializers.RandomNormal(0.0, columns**-0.5, seed)
    a, b = (
        keras_private.add_variable(
            target.layer, name=f"{target.name}_lora_{which}", shape=shape, initializer=i
        )
        for which, shape, i in (
            ("a", (rows, rank), first),
            ("b", (rank, columns), second),
        )
    )
    a.trainable = b.trainable = True  # In a layer that was frozen before, too.
    hosts.adopt(target.layer)
    adapter = Adapter(a, b, scale, target.variable, target.inputs)
    adapters = {**hosts.adapters_of(target.layer), target.name: adapter}
    # Past Keras' own __setattr__, which would track it.
    vars(target.layer)[hosts.ADAPTERS] = adapters


def _start_anew(model: keras.Model) -> None:
    """A new optimizer, for what trains now; and no step that was traced before."""
    with model.distribute_strategy.scope():
        if model.compiled and model.optimizer is not None and model.optimizer.built:
            model.compile_from_config(model.get_compile_config())
    scale_as_told(model)


def _refuse_wrong(model: keras.Model, rank: int, alpha: float | None) -> None:
    problems = []
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        problems.append(f"rank: expected an integer >= 1. Received: {rank!r}")
    is_number = isinstance(alpha, int | float) and not isinstance(alpha, bool)
    if alpha is not None and not (is_number and 0 < alpha < float("inf")):
        problems.append(f"alpha: expected a finite number > 0. Received: {alpha!r}")
    if not isinstance(model, keras.Model) or not model.built:
        problems.append(
            "model: expected a keras.Model that is built. Received: "
            f"{type(model).__name__}. Call model.build(input_shape)"
        )
    elif is_adapted(model):
        problems.append(
            "model: expected one without adapters. Received: one that has some. Call "
            "merge(model) first"
        )
    elif not model.trainable:
        problems.append(
            "model: expected model.trainable=True, or nothing trains. Received: False"
        )
    if problems:
        raise RefusedError(problems, heading="adapters")


def _refuse_kernels(chosen: Sequence[Target], rank: int) -> None:
    problems = [
        f"{target.label}: expected a kernel without a constraint, which its sum with "
        f"an adapter need not hold. Received: {target.variable.constraint!r}"
        for target in chosen
        if target.variable.constraint is not None
    ]
    small = [target for target in chosen if min(target.shape) < rank]
    if small:
        fitting = [t for t in chosen if min(t.shape) >= rank]
        names = dict.fromkeys(t.path.split("/")[-1] for t in fitting)
        out = f", or name the layers: {' '.join(names)}" if names else ""
        problems.append(
            f"rank: expected at most the smaller side of each kernel. Received: {rank} "
            f"for {', '.join(t.label for t in small)}. Take a lower rank{out}"
        )
    if problems:
        raise RefusedError(problems, heading="adapters")
