"""Models larger than a device: variables and batches are cut over a mesh of devices.

Keras does that on its JAX backend alone. What needs JAX is imported where the backend
is chosen; a mesh and its layouts are looked at without it.
"""

import contextlib
import dataclasses
import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import keras
import tensorflow as tf

from kerascale.errors import RefusedError
from kerascale.runtime.console import say
from kerascale.strategies import layouts, mesh_peers, mesh_process
from kerascale.strategies.mesh import DATA, Mesh, parse

NAMES = ("model_parallel", "fsdp")
# What a training step computes again instead of keeping it until its gradient.
Remat = Literal["none", "block", "full"]

# They stand above this room, and are loaded by their names where the backend is JAX.
_SCOPE = "kerascale.engine.mesh.scope"
_CONNECT = "kerascale.engine.mesh.connect"
_GATHERED = "kerascale.engine.mesh.gathered"


@dataclasses.dataclass(frozen=True, eq=False)
class ModelParallel:
    """Where a model trains on a mesh: what `strategies.get` returns for it.

    To the rest of the product it is one replica: a program computes on the whole
    batch, and devices share its work.

    Args:
        mesh: The axes.
        rules: How variables are cut along other axes than `data`; None: those that
            are shipped for the model.
        fully_sharded: Whether every variable is cut along the data axis too.
        remat: What a training step computes again; see `strategies.get`.
    """

    mesh: Mesh
    rules: tuple[layouts.Rule, ...] | None = None
    fully_sharded: bool = False
    remat: Remat = "none"

    @property
    def name(self) -> str:
        """As a run records it."""
        return "fsdp" if self.fully_sharded else "model_parallel"

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Within it a model is made: its first weights are those of TensorFlow."""
        return importlib.import_module(_SCOPE).made_for(self)

    def on_host(self, model: keras.Model) -> contextlib.AbstractContextManager[None]:
        """Within it each process has all of a model in its memory.

        Where processes share a mesh, none of them can read, save or assign a variable
        that is cut over them but here. All of them enter it, and give variables the
        same values.
        """
        return importlib.import_module(_GATHERED).on_host(model)

    def rules_for(self, class_names: tuple[str, ...]) -> list[layouts.Rule] | None:
        """The rules for a model; None: nothing but the data axis is cut.

        Args:
            class_names: Of its class, and of those that this is derived of.

        Raises:
            RefusedError: If other axes are there, and no rules.
        """
        if self.rules is not None:
            return list(self.rules)
        others = [name for name in self.mesh.axes if name != DATA]
        if not others:
            return None
        found = layouts.shipped_for(class_names)
        if found is None:
            raise RefusedError(
                f"layout: expected one for {class_names[0]} on the mesh {self.mesh}. "
                "Received: none. Layouts are shipped for "
                f"{', '.join(layouts.shipped.NAMES)}; pass your own: strategies.get("
                f"{self.name!r}, mesh=..., layout={{...}}), or the axis data alone"
            )
        return found

    def __getattr__(self, name: str) -> Any:
        # The rest of what a strategy of one replica is asked for.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(tf.distribute.get_strategy(), name)


# The one of this process.
_made: ModelParallel | None = None


def current() -> ModelParallel:
    """That of this process; of one that made none: on one device."""
    return _made or ModelParallel(Mesh({DATA: 1}))


def is_made() -> bool:
    """Whether this process trains on a mesh."""
    return _made is not None


def make(
    name: str,
    mesh: str | Mapping[str, int] | Mesh | None = None,
    layout: Mapping[Any, Any] | None = None,
    start_timeout: float | None = None,
    remat: Remat = "none",
) -> ModelParallel:
    """The strategy `model_parallel` or `fsdp`.

    Args:
        name: Which one.
        mesh: See `mesh.parse`; None: all devices along `data`.
        layout: The rules of a user's own; see `layouts.rules_of`.
        start_timeout: Seconds in which the other processes of TF_CONFIG, or of a Slurm
            step, must have started; None: 300.
        remat: What a training step computes again; see `strategies.get`.

    Raises:
        RefusedError: If the backend is another, JAX is absent, other processes do not
            come, the mesh is not that of the devices, or this process has another one.
    """
    global _made
    if remat not in get_args(Remat):
        raise RefusedError(
            f"remat: expected {', '.join(get_args(Remat))}. Received: {remat!r}."
        )
    mesh_process.refuse_without_jax(name)
    if keras.config.backend() != "jax":
        raise RefusedError(
            f"strategy: {name} expects Keras' JAX backend. Received: "
            f"{keras.config.backend()!r}. Set KERAS_BACKEND=jax before Python starts; "
            "the command line does so itself."
        )
    peers = mesh_peers.join(start_timeout)
    # TensorFlow reads data and writes files; devices are JAX's.
    for kind in ("GPU", "TPU"):
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], kind)
    count = keras.distribution.get_device_count()
    asked = Mesh({DATA: count}) if mesh is None else parse(mesh)
    if name == "model_parallel" and mesh is None:
        raise RefusedError(
            "strategy: model_parallel expects a mesh. Received: none. Pass for example "
            "--mesh data=2,model=4."
        )
    _refuse_other_size(asked, count)
    rules = None if layout is None else tuple(layouts.rules_of(layout))
    made = ModelParallel(asked, rules, name == "fsdp", remat)
    same = _made is not None and dataclasses.asdict(made) == dataclasses.asdict(_made)
    if _made is not None and not same:
        raise RefusedError(
            f"strategy: expected one mesh in a process. Received: {made.name} on "
            f"{made.mesh} with remat {remat}, where {_made.name} on {_made.mesh} with "
            f"remat {_made.remat} was made before. Start a new process."
        )
    if not same:
        _made = made
        several = "" if peers.count == 1 else f" in {peers.count} processes"
        again = "" if remat == "none" else f", remat {remat}"
        say(f"strategy: {name} on a mesh of {count}{several}: {asked}{again}")
        if peers.count > 1:
            importlib.import_module(_CONNECT).connect(asked)
    return _made


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """Within it another may be made: where layouts are looked at, not trained."""
    global _made
    before, _made = _made, None
    try:
        yield
    finally:
        _made = before


def _refuse_other_size(mesh: Mesh, count: int) -> None:
    if mesh.size != count:
        raise RefusedError(
            f"mesh: expected one of {count} devices, which are here. Received: {mesh}, "
            f"of {mesh.size}. On a CPU set XLA_FLAGS="
            f"--xla_force_host_platform_device_count={mesh.size} before Python starts; "
            "the command line does so itself."
        )
