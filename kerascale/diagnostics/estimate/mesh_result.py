"""What was estimated for a mesh, as a table and as numbers."""

import dataclasses
from typing import Any

from kerascale.diagnostics.estimate.amounts import shown
from kerascale.training.throughput.figures import si


@dataclasses.dataclass(frozen=True)
class MeshEstimate:
    """What each device of a mesh needs to train a recipe. True if that fits.

    Bytes are those of one device, unless said otherwise.

    Args:
        recipe: Its name.
        strategy: `model_parallel` or `fsdp`.
        mesh: Axis -> devices along it.
        remat: What a step computes again: `none`, `block` or `full`.
        batch_size: Examples in a global batch.
        rows: Of them on one device.
        parameters: Numbers in the weights as a whole.
        weights_bytes: Its part of the weights, seeds included.
        gradients_bytes: Its part of one gradient for each trained weight, or less where
            the program never holds all of them.
        optimizer_bytes: Its part of what the optimizer keeps.
        metrics_bytes: Sums of metrics.
        batch_bytes: Its rows of the batches of a call, and of the next call.
        activations_bytes: The most that the program holds beyond all of these:
            activations, and weights while they are put together.
        runtime_bytes: What XLA's runtime keeps of operations that cores share, until a
            call ends; 0 beside an accelerator.
        steps_per_call: Steps that are one program.
        weights_of_one_bytes: All weights, as one device alone would hold them.
        optimizer_of_one_bytes: The same of the optimizer.
        process_bytes: Python and data in memory, of this process, with the weights
            that it holds already; 0 beside an accelerator.
        memory_bytes: What a device has; or all of them together.
        shares_memory: Whether the devices are one processor's, and share it.
        device: `cpu`, `gpu` or `tpu`: whose program was compiled.
        flops_per_step: Products of matrices and convolutions of a step, forward and
            backward, on all devices together, a multiplication and an addition as two;
            None: they cannot be counted.
        computed_flops_per_step: The same, with what `remat` computes again.
    """

    recipe: str
    strategy: str
    mesh: dict[str, int]
    remat: str
    batch_size: int
    rows: int
    parameters: int
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    metrics_bytes: int
    batch_bytes: int
    activations_bytes: int
    runtime_bytes: int
    steps_per_call: int
    weights_of_one_bytes: int
    optimizer_of_one_bytes: int
    process_bytes: int
    memory_bytes: int
    shares_memory: bool
    device: str
    flops_per_step: float | None = None
    computed_flops_per_step: float | None = None

    @property
    def num_devices(self) -> int:
        """Devices of the mesh."""
        count = 1
        for size in self.mesh.values():
            count *= size
        return count

    @property
    def device_bytes(self) -> int:
        """All that a device holds at once at most."""
        return (
            self.weights_bytes
            + self.gradients_bytes
            + self.optimizer_bytes
            + self.metrics_bytes
            + self.batch_bytes
            + self.activations_bytes
            + self.runtime_bytes
        )

    @property
    def state_share(self) -> float:
        """Weights and optimizer, of what one device alone would hold."""
        one = self.weights_of_one_bytes + self.optimizer_of_one_bytes
        return (self.weights_bytes + self.optimizer_bytes) / one

    @property
    def total_bytes(self) -> int:
        """What is held against `memory_bytes`."""
        if not self.shares_memory:
            return self.device_bytes
        return self.num_devices * self.device_bytes + self.process_bytes

    def __bool__(self) -> bool:
        """Whether it fits."""
        return self.total_bytes <= self.memory_bytes

    def to_dict(self) -> dict[str, Any]:
        return {
            **dataclasses.asdict(self),
            "num_devices": self.num_devices,
            "device_bytes": self.device_bytes,
            "state_share": self.state_share,
            "total_bytes": self.total_bytes,
            "fits": bool(self),
        }

    def text(self) -> str:
        """A table for a person."""
        mesh = ",".join(f"{name}={size}" for name, size in self.mesh.items())
        verdict = "it fits" if self else "it does NOT fit"
        one = shown(self.weights_of_one_bytes)
        states = shown(self.optimizer_of_one_bytes)
        calls = f"{self.rows:,} rows, {self.steps_per_call} steps a call, and the next"
        rows = [
            ("weights", self.weights_bytes, f"of {one} as a whole"),
            ("gradients", self.gradients_bytes, ""),
            ("optimizer", self.optimizer_bytes, f"of {states} as a whole"),
            ("metrics", self.metrics_bytes, ""),
            ("batches", self.batch_bytes, calls),
            (
                "activations",
                self.activations_bytes,
                f"and weights put together, as XLA assigns them on a {self.device}",
            ),
        ]
        if self.device == "cpu":
            rows.append(("runtime", self.runtime_bytes, "operations that cores share"))
        rows += [
            ("needed", self.device_bytes, "by each device"),
        ]
        if self.shares_memory:
            rows += [
                ("process", self.process_bytes, "Python, data, first weights"),
                ("all devices", self.total_bytes, f"{self.num_devices} of this CPU"),
                ("this machine has", self.memory_bytes, verdict),
            ]
        else:
            rows.append(("a device has", self.memory_bytes, verdict))
        lines = [
            f"{self.recipe}: {self.strategy} on a mesh of {self.num_devices}: {mesh}; "
            f"batches of {self.batch_size:,}, {self.parameters:,} parameters; remat "
            f"{self.remat}",
            f"weights and optimizer: {self.state_share:.3f} of one device's",
            *self._operations(),
            "",
            "memory of a device",
            *(f"  {n:<18}{shown(b):>12}  {note}".rstrip() for n, b, note in rows),
        ]
        if not self:
            lines += [
                "",
                "Take a mesh of more devices, --strategy fsdp, --remat block or full, "
                "or a smaller --batch-size with --gradient-accumulation-steps.",
            ]
        return "\n".join(lines)

    def _operations(self) -> list[str]:
        own, computed = self.flops_per_step, self.computed_flops_per_step
        if own is None or computed is None:
            return []
        again = computed / own - 1 if own else 0
        with_it = f", {100 * again:.0f} % more computed again" if again > 0 else ""
        each = si(own / self.num_devices)
        return [f"operations: {si(own)}FLOP a step, {each}FLOP a device{with_it}"]
