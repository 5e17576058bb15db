"""Classes put in front of those of layers and models that have adapters.

A layer computes with its kernel wherever it says `self.kernel`: there it finds the sum.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras

from kerascale.compression.adapters import low_rank
from kerascale.compression.adapters.low_rank import Adapter
from kerascale.compression.plain_saving import PlainSaving, with_new_optimizer
from kerascale.engine.compat import keras_private
from kerascale.layers import Dense
from kerascale.layers._trained import activated

# Attributes of a layer and of a model.
ADAPTERS, FROZEN = "_kerascale_adapters", "_kerascale_frozen"

# Whether what is saved is to be a plain model: kernels with what is added to them.
_merged = contextvars.ContextVar("merged", default=False)


def adapters_of(layer: keras.layers.Layer) -> dict[str, Adapter]:
    """Name of a layer's kernel -> what is added to it."""
    return vars(layer).get(ADAPTERS, {})


class AdaptedLayer:
    """Put in front of a layer's class: its kernels are sums.

    What it saves are the kernels as they are, and the two matrices beside them; or,
    where a plain model is saved, the sums alone.
    """

    @property
    def kernel(self) -> Any:
        return _sum(self, "kernel", super())

    @property
    def recurrent_kernel(self) -> Any:
        return _sum(self, "recurrent_kernel", super())

    @property
    def embeddings(self) -> Any:
        return _sum(self, "embeddings", super())

    def save_own_variables(self, store: Any) -> None:
        adapters = adapters_of(self)
        values: dict[str, Any] = {}
        with without_adapters(self):
            super().save_own_variables(values)
        sums = {id(a.base): a for a in adapters.values()} if _merged.get() else {}
        for key, value in values.items():
            found = sums.get(id(value))
            store[key] = value if found is None else found.added_to(value)
        if not _merged.get():
            for name, adapter in adapters.items():
                store[f"{name}_lora_a"], store[f"{name}_lora_b"] = adapter.a, adapter.b

    def load_own_variables(self, store: Any) -> None:
        adapters = adapters_of(self)
        own = {
            f"{name}_lora_{which}": getattr(adapter, which)
            for name, adapter in adapters.items()
            for which in ("a", "b")
        }
        missing = [key for key in own if key not in store.keys()]
        if missing:
            raise ValueError(
                f"Layer '{self.name}' expected weights of a model with adapters. "
                f"Received: weights without {', '.join(missing)}. Load them before "
                "kerascale.compression.adapters.adapt, or load adapters with "
                "kerascale.compression.adapters.load."
            )
        rest = {key: store[key] for key in store.keys() if key not in own}
        with without_adapters(self):
            super().load_own_variables(rest)
        for key, variable in own.items():
            variable.assign(store[key])


class AdaptedDense(AdaptedLayer):
    """The same of a dense layer, whose training leaves out the kernel's gradient."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        adapter = adapters_of(self).get("kernel")
        if adapter is None or not training:
            return super().call(inputs, training=training)
        bias = self.bias if self.use_bias else None
        outputs = low_rank.affine(inputs, adapter, adapter.base, bias)
        return activated(self, outputs)


class AdaptedModel(PlainSaving):
    """Put in front of a model's class: it is saved with the sums for kernels."""

    @contextlib.contextmanager
    def _as_plain(self) -> Iterator[None]:
        frozen = vars(self).get(FROZEN)
        if frozen is None:
            with super()._as_plain():
                yield
            return
        token = _merged.set(True)
        try:
            with (
                frozen.undone(),
                with_new_optimizer(self, frozen.variables),
                super()._as_plain(),
            ):
                yield
        finally:
            _merged.reset(token)


def adopt(layer: keras.layers.Layer) -> None:
    """Lets a layer compute with its adapters."""
    calls = (keras.layers.Dense.call, Dense.call)
    is_dense = isinstance(layer, keras.layers.Dense) and type(layer).call in calls
    keras_private.adopt_class(layer, AdaptedDense if is_dense else AdaptedLayer)


def _sum(layer: Any, name: str, plain: Any) -> Any:
    # In some layers it is a property, in others an attribute.
    kernel = vars(layer)[name] if name in vars(layer) else getattr(plain, name)
    adapter = adapters_of(layer).get(name)
    return kernel if adapter is None else adapter.added_to(kernel)


@contextlib.contextmanager
def without_adapters(layer: Any) -> Iterator[None]:
    """Within it a layer is as it was before."""
    adapters = vars(layer).pop(ADAPTERS, None)
    own = [v for a in (adapters or {}).values() for v in (a.a, a.b)]
    try:
        with keras_private.hidden(layer, own):
            yield
    finally:
        if adapters is not None:
            vars(layer)[ADAPTERS] = adapters
