"""What is done to a run, and when: drawn from a seed."""

import dataclasses
import random
from collections.abc import Sequence

from kerascale.runs.checkpoint.injected_faults import POINTS

KILL = "SIGKILL"
KILL_IN_SAVE = "SIGKILL in a save"
KILL_IN_VALIDATION = "SIGKILL in validation"
TERM = "SIGTERM"
STOP = "SIGSTOP"
KINDS = (KILL, KILL_IN_SAVE, KILL_IN_VALIDATION, TERM, STOP)

# A checkpoint is replaced by one of the same step only after it was damaged.
_POINTS = [point for point in POINTS if point != "save:between-renames"]


@dataclasses.dataclass(frozen=True)
class Event:
    """One disturbance.

    Args:
        kind: One of `KINDS`.
        step: It strikes when so many batches have been trained, or in the first
            save or validation after that.
        worker: The rank of the worker that it strikes.
        delay: Seconds between that moment and the blow.
        point: Where in a save it strikes; empty if it is none of that kind.
    """

    kind: str
    step: int
    worker: int = 0
    delay: float = 0.0
    point: str = ""

    def __str__(self) -> str:
        where = f" ({self.point})" if self.point else ""
        return f"{self.kind}{where}"


def draw(
    count: int,
    steps: int,
    *,
    workers: int,
    seed: int,
    step_seconds: float,
    kinds: Sequence[str] = KINDS,
) -> list[Event]:
    """Events at random places, in the order in which they strike.

    Each kind comes as often as any other, up to one.

    Args:
        count: How many.
        steps: Batches of the whole run. No two events have the same step as long as
            there are enough of them.
        workers: Number of workers.
        seed: Decides everything here.
        step_seconds: How long a step takes: a blow falls anywhere within it.
        kinds: Those to draw from.
    """
    generator = random.Random(seed)
    places = list(range(1, max(2, steps)))
    drawn = sorted(
        generator.sample(places, count)
        if count <= len(places)
        else generator.choices(places, k=count)
    )
    order = [kinds[i % len(kinds)] for i in range(count)]
    generator.shuffle(order)
    events = []
    for kind, step in zip(order, drawn, strict=True):
        # Only the chief saves.
        in_save = kind == KILL_IN_SAVE
        events.append(
            Event(
                kind,
                step,
                worker=0 if in_save else generator.randrange(max(1, workers)),
                delay=generator.uniform(0.0, step_seconds),
                point=generator.choice(_POINTS) if in_save else "",
            )
        )
    return events
