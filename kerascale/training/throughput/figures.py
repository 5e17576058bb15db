"""What a training is told to have reached: `throughput.json`, and a line or two."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from kerascale.runtime.console import duration
from kerascale.training.throughput import goodput

# A step of less than that is not timed but noise.
_LEAST_SECONDS = 1e-6
_STAGES = {
    "gather": "rows to be gathered in memory (larger batches, or longer epochs)",
    "read": "reading (a faster disk, or a packed data set on a local one)",
    "decode": "decoding (kerascale pack: --image-size for smaller pictures, or "
    "--jpeg-restart-markers for random windows)",
    "augment": "augmentation (fewer kinds of it)",
}


@dataclasses.dataclass(frozen=True)
class Throughput:
    """Speed of a training, and the use that it made of the machine and of its time.

    Args:
        examples_per_second: While steps were made: without tracing, compiling,
            validation and evaluation.
        tokens_per_second: The same for sequences, padding included; else None.
        step_seconds: Of one step of the global batch.
        compiling_included: Whether the training was too short to leave tracing and
            compiling out.
        flops_per_step: Products of matrices and convolutions, forward and backward,
            over all replicas; None: not counted.
        not_counted: Why not; empty if they are.
        flops_per_second: What was computed.
        peak_flops_per_second: What the devices compute at most, as was measured.
        share_of_peak: The one over the other (MFU).
        peak_of: Whose peak it is, on a mesh: `8 devices`; else empty.
        useful_seconds: Steps that are in the result, at `step_seconds` each.
        wall_seconds: From the first start to the end, restarts included.
        goodput: The one over the other.
        starts: How often the run was started.
        utilization: The share of the steps' time in which they did not wait for data
            (accelerator utilization, as MLPerf Storage has it).
        waited_for: The stage of reading data that took longest, where steps waited:
            `gather`, `read`, `decode` or `augment`; None: they did not, or it is not
            known.
        order: How the training examples were shuffled.
        parts: Where the time went: see `goodput.parts`; None: it was not recorded.
        elapsed: From the beginning of the first process to the end, in seconds.
    """

    examples_per_second: float
    tokens_per_second: float | None
    step_seconds: float
    compiling_included: bool
    flops_per_step: float | None
    not_counted: str
    flops_per_second: float | None
    peak_flops_per_second: float | None
    share_of_peak: float | None
    useful_seconds: float
    wall_seconds: float
    goodput: float | None
    starts: int
    utilization: float | None = None
    waited_for: str | None = None
    order: str | None = None
    parts: Mapping[str, float] | None = None
    elapsed: float | None = None
    peak_of: str = ""

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def text(self) -> str:
        """Two lines for a person."""
        speed = f"{self.examples_per_second:,.0f} examples/s"
        if self.tokens_per_second is not None:
            speed += f", {self.tokens_per_second:,.0f} tokens/s"
        if self.compiling_included:
            speed += " (compiling included: too short to tell it apart)"
        if self.flops_per_step is None:
            used = f"operations not counted: {self.not_counted}"
        else:
            used = f"{si(self.flops_per_step)}FLOP a step"
            if self.share_of_peak is not None:
                used += (
                    f", {si(self.flops_per_second)}FLOP/s, "
                    f"{self.share_of_peak * 100:.2g} % of the measured peak"
                )
                used += f" of {self.peak_of}" if self.peak_of else ""
        lines = [f"throughput: {speed}; {used}"]
        if self.goodput is not None:
            starts = "1 start" if self.starts == 1 else f"{self.starts} starts"
            useful, wall = duration(self.useful_seconds), duration(self.wall_seconds)
            share = f"{self.goodput * 100:.0f} %"
            lines.append(f"goodput: {share} ({useful} of steps in {wall}, {starts})")
        if self.utilization is not None:
            lines.append(f"data: {self._data()}")
        if self.parts and self.elapsed:
            lines.append(goodput.text(self.parts, self.elapsed))
        return "\n".join(lines)

    def _data(self) -> str:
        text = f"steps waited {100 * (1 - self.utilization):.0f} % of their time"
        if self.waited_for is not None:
            text += f", for {_STAGES.get(self.waited_for, self.waited_for)}"
        if self.order is not None:
            text += f"; order: {self.order}"
        return text


def make(
    *,
    steps: int,
    seconds: float,
    compiling_included: bool,
    examples_per_step: float,
    tokens_per_example: int | None,
    flops_per_step: float | None,
    not_counted: str,
    peak: float | None,
    peak_of: str = "",
    first_step: int,
    last_step: int,
    wall_seconds: float,
    starts: int,
    waited_seconds: float | None = None,
    waited_for: str | None = None,
    order: str | None = None,
) -> Throughput | None:
    """Throughput out of what was measured; None where no step was timed.

    Args:
        steps: How many were timed.
        seconds: How long they took.
        compiling_included: See `Throughput`.
        examples_per_step: Examples in a global batch.
        tokens_per_example: Tokens in an example, if it is a sequence; or None.
        flops_per_step: See `Throughput`.
        not_counted: See `Throughput`.
        peak: Of all devices together; None: not measured.
        peak_of: See `Throughput`.
        first_step: Batches that had been trained when the run began.
        last_step: And now.
        wall_seconds: See `Throughput`.
        starts: See `Throughput`.
        waited_seconds: How long they waited for data; None: not known.
        waited_for: See `Throughput`.
        order: See `Throughput`.
    """
    if steps < 1 or seconds < steps * _LEAST_SECONDS:
        return None
    step_seconds = seconds / steps
    examples = examples_per_step / step_seconds
    useful = (last_step - first_step) * step_seconds
    flops = None if flops_per_step is None else flops_per_step / step_seconds
    return Throughput(
        examples_per_second=examples,
        tokens_per_second=tokens_per_example and examples * tokens_per_example,
        step_seconds=step_seconds,
        compiling_included=compiling_included,
        flops_per_step=flops_per_step,
        not_counted=not_counted,
        flops_per_second=flops,
        peak_flops_per_second=peak,
        share_of_peak=None if flops is None or not peak else flops / peak,
        useful_seconds=useful,
        wall_seconds=wall_seconds,
        # A clock that was set back tells nothing.
        goodput=useful / wall_seconds if 0 < useful <= wall_seconds else None,
        starts=starts,
        utilization=None if waited_seconds is None else 1 - waited_seconds / seconds,
        waited_for=waited_for,
        order=order,
        peak_of=peak_of,
    )


def tokens_per_example(kind: str | None, shape: Sequence[int | None]) -> int | None:
    """Tokens in an example of a batch of this shape.

    None if it is no sequence, or sequences differ in length.
    """
    return shape[1] if kind in ("text", "corpus") and len(shape) == 2 else None


def si(value: float) -> str:
    """A number with the prefix of its unit: `1.29 M`, `187 G`."""
    for exponent, prefix in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if value >= 10**exponent:
            return f"{value / 10**exponent:.3g} {prefix}"
    return f"{value:.3g} "
