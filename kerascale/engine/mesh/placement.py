"""Cuts the variables of a model and of its optimizer over the mesh, one by one."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import keras
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from kerascale.engine.compat import keras_jax, keras_private
from kerascale.engine.mesh import exchange
from kerascale.engine.mesh.described import assigned, of_model
from kerascale.strategies import layouts
from kerascale.strategies.layouts.rules import Cut
from kerascale.strategies.mesh import DATA, Mesh
from kerascale.strategies.model_parallel import ModelParallel


@dataclasses.dataclass(frozen=True)
class Places:
    """How everything of a model lies.

    Args:
        mesh: The axes.
        devices: The mesh, of JAX.
        placements: Of each of the model's variables, in their order.
    """

    mesh: Mesh
    devices: jax.sharding.Mesh
    placements: tuple[layouts.Placement, ...]

    def sharding(self, cut: Cut) -> NamedSharding:
        """The layout of an array that is cut so."""
        return NamedSharding(self.devices, PartitionSpec(*cut))

    @property
    def whole(self) -> NamedSharding:
        """The layout of what every device has."""
        return self.sharding(())

    def rows(self, shape: Sequence[int], before: int = 0) -> NamedSharding:
        """The layout of an array whose rows are those of a batch.

        Rows that the axis `data` does not divide, as at the end of an epoch, lie whole
        on every device: filled up by XLA they were seen to give wrong gradients.

        Args:
            shape: Of the array.
            before: Axes in front of that of rows.
        """
        divides = len(shape) > before and shape[before] % self.mesh.of(DATA) == 0
        return self.sharding((*(None,) * before, DATA)) if divides else self.whole

    def own_rows(self, count: int) -> list[int] | None:
        """The rows of a batch that lie on devices of this process; None: all of them.

        Args:
            count: Rows of the batch.
        """
        layout = self.rows((count,))
        if layout.is_fully_addressable:
            return None
        found = {
            row
            for (rows,) in layout.addressable_devices_indices_map((count,)).values()
            for row in range(*rows.indices(count))
        }
        return None if len(found) == count else sorted(found)

    def used(self, variables: Sequence[keras.Variable]) -> list[NamedSharding | None]:
        """How a step computes with variables; None: as XLA finds.

        With axes beside that of data it is said of each: left alone, XLA cuts small
        ones on its own, as their neighbours are.
        """
        by_path = {id(v): p for v, p in self._pairs(variables)}
        only_data = all(axis == DATA for axis in self.mesh.axes)
        found = []
        for variable in variables:
            placement = by_path.get(id(variable))
            is_free = placement is None or (
                only_data and placement.cut_in_use == placement.cut
            )
            found.append(None if is_free else self.sharding(placement.cut_in_use))
        return found

    def text(self) -> str:
        """What a device holds of the weights, for a person."""
        own = sum(p.bytes_per_device(self.mesh) for p in self.placements)
        whole = sum(p.bytes_per_device(Mesh({})) for p in self.placements)
        return (
            f"layout: a device holds {own / 2**20:,.3g} of {whole / 2**20:,.3g} MiB of "
            "weights (kerascale show RECIPE --mesh ... lists them)"
        )

    def _pairs(
        self, variables: Sequence[keras.Variable]
    ) -> list[tuple[keras.Variable, layouts.Placement]]:
        known = {p.variable.path: p for p in self.placements}
        return [(v, known[v.path]) for v in variables if v.path in known]


@functools.lru_cache(maxsize=4)
def devices_of(mesh_text: str, sizes: tuple[int, ...]) -> jax.sharding.Mesh:
    names = tuple(part.partition("=")[0] for part in mesh_text.split(","))
    count = int(np.prod(sizes))
    return jax.sharding.Mesh(np.array(jax.devices()[:count]).reshape(sizes), names)


def place_model(model: keras.Model, strategy: ModelParallel) -> Places:
    """Cuts the variables of a built model; what lies right is left."""
    mesh = strategy.mesh
    places = Places(
        mesh,
        devices_of(str(mesh), tuple(mesh.axes.values())),
        tuple(assigned(model, strategy)),
    )
    variables = of_model(model)
    exchange.take_from_first([v for v in variables if not keras_jax.layout_of(v)])
    for variable, placement in zip(variables, places.placements, strict=True):
        _lay(variable, places.sharding(placement.cut))
    return places


def place_rest(model: keras.Model, places: Places) -> None:
    """Cuts what the optimizer remembers as its variables are, and copies the rest."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        references = {
            variable.path.replace("/", "_"): (variable, placement)
            for variable, placement in zip(
                of_model(model), places.placements, strict=True
            )
        }
        for variable in optimizer.variables:
            if keras_jax.layout_of(variable) is None:
                _lay(variable, places.sharding(_cut_like(variable, references)))
            else:
                _lay(variable, keras_jax.layout_of(variable))
    for metric in keras_private.all_metrics(model):
        for variable in metric.variables:
            _lay(variable, places.whole)


def _cut_like(variable: keras.Variable, references: dict) -> Cut:
    """The cut of the variable that this one belongs to; whole, if it is of none."""
    found = [
        (path, placement.cut)
        for path, (own, placement) in references.items()
        if path in variable.path and tuple(own.shape) == tuple(variable.shape)
    ]
    return max(found, key=lambda each: len(each[0]))[1] if found else ()


def _lay(variable: keras.Variable, sharding: NamedSharding) -> None:
    (value,) = keras_jax.values_of([variable])
    lies = keras_jax.layout_of(variable) == sharding and value.sharding == sharding
    if not lies:
        keras_jax.set_layout(variable, sharding)
