"""`kerascale launch kubernetes ... --write DIR -- train RECIPE ...`."""

import dataclasses
import re
import shlex
from collections.abc import Sequence

from kerascale.cli import parsing
from kerascale.config.fields import NonNegativeInt, PositiveInt, check
from kerascale.errors import RefusedError
from kerascale.launch.kubernetes import manifests, writing
from kerascale.launch.run_dirs import run_dir_of

_PROGRAM = "kerascale launch kubernetes"
# RFC 1035, as names of Services have it.
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# RFC 1123, as those of namespaces and claims.
_DNS = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MEMORY = re.compile(r"[1-9]\d*(Ki|Mi|Gi|Ti|k|M|G|T)?")
_LONGEST_NAME = 40  # With what is added to it a name may have 63.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Write manifests with which Kubernetes trains a recipe on several pods."""

    write: str
    """The folder to write them into."""
    image: str
    """The image of each worker, with kerascale in it; the Dockerfile builds one."""
    volume: str
    """A PersistentVolumeClaim that all pods may write to (ReadWriteMany)."""
    workers: PositiveInt = 1
    """Pods."""
    name: str | None = None
    """Of the objects; default: kerascale-RECIPE."""
    namespace: str | None = None
    """The namespace; default: that of who applies them."""
    cpus: PositiveInt = 4
    """Cores of each worker."""
    memory: str = "16Gi"
    """Memory of each worker."""
    gpus: NonNegativeInt = 0
    """GPUs of each worker."""
    save_seconds: PositiveInt = 120
    """How long a worker may take to save and stop when its pod is taken away."""
    stuck_seconds: PositiveInt = 900
    """Without a sign of life, after which a pod is started again."""
    max_restarts: NonNegativeInt = 3
    """How often a training that failed is started again."""
    jobset: bool = False
    """Write a JobSet, whose operator must be there; else a plain Job and a Service."""
    force: bool = False
    """Write over files of these names that say something else."""

    def __post_init__(self) -> None:
        problems = check(self)
        for field, pattern in (
            ("name", _NAME), ("namespace", _DNS), ("volume", _DNS),
        ):  # fmt: skip
            value = getattr(self, field)
            most = _LONGEST_NAME if field == "name" else 63
            if value is not None and (
                not pattern.fullmatch(value) or len(value) > most
            ):
                problems.append(
                    f"{field}: expected a DNS name of at most {most} small letters, "
                    f"digits and hyphens. Received: {value!r}."
                )
        if not _MEMORY.fullmatch(self.memory):
            problems.append(
                f"memory: expected an amount such as 16Gi. Received: {self.memory!r}."
            )
        if not self.image.strip() or re.search(r"\s", self.image):
            problems.append(
                f"image: expected the name of an image. Received: {self.image!r}."
            )
        if problems:
            raise RefusedError(problems, heading="launch kubernetes")


def write(own: Sequence[str], command: Sequence[str]) -> int:
    """Writes the manifests of `train ...`.

    Args:
        own: The flags of `launch kubernetes`.
        command: What stands behind `--`.
    """
    options = parsing.parse(Options, own, program=_PROGRAM)
    run_dir, command = run_dir_of(list(command))
    recipe = re.sub(r"[^a-z0-9]+", "-", run_dir.lower().replace("runs/", "")).strip("-")
    training = manifests.Training(
        name=options.name or f"kerascale-{recipe}"[:_LONGEST_NAME].rstrip("-"),
        namespace=options.namespace,
        workers=options.workers,
        image=options.image,
        volume=options.volume,
        command=["python", "-m", "kerascale", *command, f"--run-dir={run_dir}"],
        cpus=options.cpus,
        memory=options.memory,
        gpus=options.gpus,
        save_seconds=options.save_seconds,
        stuck_seconds=options.stuck_seconds,
        restarts=options.max_restarts,
    )
    objects = manifests.objects(training, jobset=options.jobset)
    names = writing.write(options.write, objects, force=options.force)
    folder = shlex.quote(options.write)
    kind = "jobset" if options.jobset else "job"
    print(
        f"Written into {options.write}: {', '.join(names)}\n\n"
        f"1. Build the image:  docker build -t {options.image} {folder}\n"
        f"2. Start:            kubectl apply -f {folder}\n"
        f"3. Watch:            kubectl logs -f {kind}/{training.name}\n\n"
        f"The run will be in {run_dir} on the volume {options.volume}."
    )
    return 0
