"""What was estimated, as a table and as numbers."""

import dataclasses
from typing import Any

from kerascale.diagnostics.estimate.amounts import shown


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What one worker needs to train a recipe. True if that fits.

    Bytes are those of one worker with one device, unless said otherwise.

    Args:
        recipe: Its name.
        workers: Devices that share a batch.
        batch_size: Examples in a global batch.
        rows: Of them on one worker.
        parameters: Numbers in the weights, those that are not trained included.
        trainable_parameters: Those that are trained.
        weights_bytes: All weights.
        optimizer_bytes: What the optimizer keeps for each of them, such as moments.
        state_bytes: Seeds and sums of metrics.
        gradients_bytes: One gradient for each trainable weight.
        sum_bytes: The sum of the gradients over the workers; 0 for one.
        batch_bytes: One batch of `rows` examples.
        activations_bytes: The most that a step held beyond all of these: activations,
            and what operations need while they compute.
        activations_spread_bytes: How much less the least of equal steps took.
        measured_rows: Of how many rows the step was run; fewer than `rows` where they
            would not have fit here: then the rest follows the line through two sizes.
        process_bytes: Python, TensorFlow and data in memory, of this process; 0 for
            the memory of a GPU.
        saved_copy_bytes: The copies of the state that are being written while training
            goes on; 0 for the memory of a GPU.
        memory_bytes: What a worker has.
        checkpoint_bytes: One checkpoint on the disk.
        export_bytes: The weights of a SavedModel, without its graph.
        run_folder_bytes: All checkpoints that are kept, the best and the last weights,
            and `model.keras`.
        steps_per_epoch: Batches in one pass.
        examples_per_epoch: Examples in one pass.
        device: `cpu` or `gpu`.
        begun_bytes: The most that a process held which began the training; 0: none did,
            because it does not fit, is for several workers or for a GPU.
        begun_problem: Why that process was ended before its steps.
    """

    recipe: str
    workers: int
    batch_size: int
    rows: int
    parameters: int
    trainable_parameters: int
    weights_bytes: int
    optimizer_bytes: int
    state_bytes: int
    gradients_bytes: int
    sum_bytes: int
    batch_bytes: int
    activations_bytes: int
    activations_spread_bytes: int
    measured_rows: int
    process_bytes: int
    saved_copy_bytes: int
    memory_bytes: int
    checkpoint_bytes: int
    export_bytes: int
    run_folder_bytes: int
    steps_per_epoch: int
    examples_per_epoch: int
    device: str
    begun_bytes: int = 0
    begun_problem: str = ""

    @property
    def tensor_bytes(self) -> int:
        """The most that TensorFlow holds in tensors at once."""
        return (
            self.weights_bytes
            + self.optimizer_bytes
            + self.state_bytes
            + self.gradients_bytes
            + self.sum_bytes
            + self.batch_bytes
            + self.activations_bytes
        )

    @property
    def total_bytes(self) -> int:
        """All that a worker needs."""
        in_a_loop = self.tensor_bytes + self.process_bytes + self.saved_copy_bytes
        return max(in_a_loop, self.begun_bytes)

    def __bool__(self) -> bool:
        """Whether a worker has that much, as far as was seen."""
        return self.total_bytes <= self.memory_bytes and not self.begun_problem

    def to_dict(self) -> dict[str, Any]:
        return {
            **dataclasses.asdict(self),
            "tensor_bytes": self.tensor_bytes,
            "total_bytes": self.total_bytes,
            "fits": bool(self),
        }

    def text(self) -> str:
        """A table for a person."""
        measured = f"measured on {self.measured_rows:,} rows"
        if self.measured_rows < self.rows:
            measured += ", and carried on in a line"
        if self.activations_spread_bytes > 0.1 * self.activations_bytes:
            least = self.activations_bytes - self.activations_spread_bytes
            measured += f"; the least of equal steps: {shown(max(0, least))}"
        own = f"{self.trainable_parameters:,} of {self.parameters:,} trainable"
        rows = [
            ("weights", self.weights_bytes, f"{own} parameters"),
            ("gradients", self.gradients_bytes, ""),
            ("optimizer", self.optimizer_bytes, ""),
            ("seeds, metrics", self.state_bytes, ""),
            ("batch", self.batch_bytes, f"{self.rows:,} rows"),
            ("activations", self.activations_bytes, measured),
        ]
        if self.workers > 1:
            rows.append(("sum of gradients", self.sum_bytes, ""))
        if self.device == "cpu":
            rows.append(("process", self.process_bytes, "Python, TensorFlow, data"))
            rows.append(("copies to save", self.saved_copy_bytes, ""))
        if self.begun_bytes:
            note = self.begun_problem or "measured in a process that began it"
            rows.append(("a training", self.begun_bytes, note))
        verdict = "it fits" if self else "it does NOT fit"
        rows.append(("needed", self.total_bytes, "by each worker"))
        rows.append(("a worker has", self.memory_bytes, verdict))
        disk = [
            ("checkpoint", self.checkpoint_bytes, ""),
            ("run folder", self.run_folder_bytes, "when it is finished"),
            ("export", self.export_bytes, "without its graph"),
        ]
        lines = [
            f"{self.recipe}: batches of {self.batch_size:,}, {self.workers} "
            f"worker{'s' * (self.workers > 1)} with one {self.device} each",
            f"epoch: {self.steps_per_epoch:,} steps, {self.examples_per_epoch:,} "
            "examples",
            "",
            "memory",
            *map(_line, rows),
            "",
            "disk",
            *map(_line, disk),
        ]
        if not self:
            lines += [
                "",
                "Take a smaller --batch-size, more --workers, or "
                "--gradient-accumulation-steps.",
            ]
            if self.begun_bytes:
                lines[-1] += " As a program of XLA it takes more: --execution fixed."
        return "\n".join(lines)


def _line(row: tuple[str, int, str]) -> str:
    name, number, note = row
    return f"  {name:<18}{shown(number):>12}  {note}".rstrip()
