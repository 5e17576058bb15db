"""What a federation is: its clients, its rounds, how updates are put together."""

import dataclasses
from typing import Annotated, Any, Literal

from kerascale.config.fields import (
    Limits,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Seed,
    check,
)
from kerascale.errors import RefusedError
from kerascale.trust.federated import partition

# What changes a training of one client, and says nothing of a federation yet.
_REFUSED = ("dp_clip", "teacher", "prune", "quantize_aware", "lora_rank", "folds")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Federation:
    """Clients, rounds, and how updates are put together.

    Raises:
        RefusedError: On construction, naming every impossible value.
    """

    clients: PositiveInt = 10
    """Among how many clients the training examples are divided."""
    partition: str = "iid"
    """How. iid: by lot; dirichlet:ALPHA: shares of each class are drawn, the more
    uneven the smaller ALPHA is; shards:N: each client has N pieces of the examples in
    the order of their classes."""
    rounds: PositiveInt = 20
    """How often clients train and their updates are put together."""
    algorithm: Literal["fedavg", "fedadam"] = "fedavg"
    """How. fedavg: the mean of the clients' weights; fedadam: Adam on the server, with
    the mean of their changes for a gradient."""
    participation: Annotated[float, Limits(above=0, at_most=1)] = 1.0
    """Share of the clients that train in a round."""
    local_epochs: PositiveInt = 1
    """Passes over its examples that a client makes in a round."""
    local_steps: PositiveInt | None = None
    """Updates that it makes instead of passes."""
    server_learning_rate: PositiveFloat | None = None
    """What the mean change is multiplied by. Default: 1 with fedavg, 0.01 with
    fedadam."""
    client_clip: PositiveFloat | None = None
    """Largest norm of a client's change of the weights; a larger one is scaled down."""
    client_noise: NonNegativeFloat | None = None
    """User-level privacy: deviation of the noise on the sum of the clipped changes, in
    units of client_clip. Clients then come into a round by chance and count alike."""
    client_delta: Annotated[float, Limits(above=0, below=1)] | None = None
    """Chance that the epsilon of client_noise does not hold."""
    client_noise_seed: Seed | None = None
    """Draws noise and participants from a seed, for tests. Default: from the system's
    entropy."""
    processes: PositiveInt = 1
    """Processes that clients train in, at once. The result does not depend on it."""
    client_timeout: PositiveFloat | None = None
    """Seconds after which a client that has not answered drops out of a round."""

    def __post_init__(self) -> None:
        problems = check(self) or self.conflicts()
        if problems:
            raise RefusedError(problems, heading="federated")

    def conflicts(self) -> list[str]:
        """Values that are right alone and wrong together, and the partition."""
        problems = partition.problems_of(self.partition)
        if self.client_noise is None:
            problems += [
                f"{name}: expected only with client_noise. Received: {value!r}, and "
                "client_noise=None. Leave it out, or say how much: --client-noise 1.0"
                for name in ("client_delta", "client_noise_seed")
                if (value := getattr(self, name)) is not None
            ]
        else:
            problems += [
                f"client_noise: expected with {name}. Received: {name}=None. Pass it"
                for name in ("client_clip", "client_delta")
                if getattr(self, name) is None
            ]
        return problems

    @property
    def rate(self) -> float:
        """The server's learning rate."""
        if self.server_learning_rate is not None:
            return self.server_learning_rate
        return 1.0 if self.algorithm == "fedavg" else 0.01

    def facts(self) -> dict[str, Any]:
        """What the result depends on, for `federated.json`."""
        others = ("processes", "client_timeout")
        names = [f.name for f in dataclasses.fields(Federation) if f.name not in others]
        return {name: getattr(self, name) for name in names}


def config_of(config: Any, federation: Federation) -> Any:
    """The configuration of a client, whose rate is the same in all rounds.

    Raises:
        RefusedError: Naming every field that says nothing here.
    """
    problems = [
        f"{name}: expected none in a federation. Received: {name}={value!r}. Leave it "
        "out"
        for name in (*_REFUSED, "max_steps", "lora_from")
        if (value := getattr(config, name, None))
    ]
    for name, usual in (("warmup_epochs", 0.0), ("gradient_accumulation_steps", 1)):
        if getattr(config, name, usual) != usual:
            problems.append(
                f"{name}: expected {usual} in a federation, whose clients begin anew "
                f"in each round. Received: {getattr(config, name)}. Leave it out"
            )
    if problems:
        raise RefusedError(problems, heading="federated")
    values = {
        "epochs": federation.rounds,
        "schedule": "constant",
        "execution": "fixed",
        "steps_per_execution": 1,
    }
    known = {name: value for name, value in values.items() if hasattr(config, name)}
    return dataclasses.replace(config, **known)
