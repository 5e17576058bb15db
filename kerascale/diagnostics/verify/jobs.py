"""What the processes that train are told, and how each kind of hardware is made."""

import dataclasses
import json
import pathlib
from typing import Any

# Set in the processes that train: they must not start others.
MARK = "KERASCALE_VERIFICATION"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What to train. All configurations are told the same.

    Args:
        steps: Steps to train.
        replica_counts: Replicas of each configuration that has several.
        precision: `float64` or `float32`.
        engine: Whether the model is put under `kerascale.scale`.
        plant: Name of the fault that several replicas are given; None: none.
        sys_path: Where modules are looked for.
        recipe: What `load_recipe` takes; None: a function makes the model.
        fields: The recipe's configuration, as JSON has it.
        function: (module, qualified name) of the user's `make_model`.
        script: The file to run for it, where its module is the script that runs.
        batches: File of the user's batches.
        nudge: Whether the initial weights are changed in their last digit.
    """

    steps: int
    replica_counts: tuple[int, ...]
    precision: str
    engine: bool
    plant: str | None
    sys_path: tuple[str, ...]
    recipe: str | None = None
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    function: tuple[str, str] | None = None
    script: str | None = None
    batches: str | None = None
    nudge: bool = False

    def write(self, path: pathlib.Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: str) -> "Job":
        values = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        lists = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
        return cls(**{**values, **lists})


@dataclasses.dataclass(frozen=True)
class Configuration:
    """A kind of hardware, made of this machine's CPU.

    Args:
        name: What a table calls it.
        strategy: Name of the strategy, as `kerascale.strategies.get` takes it.
        workers: Processes.
        devices: Logical devices of each process.
    """

    name: str
    strategy: str
    workers: int = 1
    devices: int = 1

    @property
    def replicas(self) -> int:
        return self.workers * self.devices


def configurations(replicas: int, workers: int) -> list[Configuration]:
    """One device, which is the reference; then several devices, several workers."""
    made = [
        Configuration("1 device", "one_device"),
        Configuration(f"{replicas} devices", "mirrored", devices=replicas),
    ]
    if workers:
        made.append(
            Configuration(
                f"{workers} workers", "multi_worker_mirrored", workers=workers
            )
        )
    return made
