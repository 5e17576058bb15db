"""User-level privacy: who comes into a round, and the noise on the sum of changes.

McMahan et al. 2018, "Learning differentially private recurrent language models". Each
client comes by chance; its change is clipped; the sum is divided by how many come on
the average, which says nothing of who came.
"""

import secrets
from collections.abc import Mapping

import numpy as np

from kerascale.trust.federated.averaging import Kind
from kerascale.trust.federated.federation import Federation
from kerascale.trust.privacy.accountant import Mechanism


def generator(federation: Federation, round_number: int) -> np.random.Generator:
    """What a private round is drawn from; from the system's entropy by default."""
    if federation.client_noise_seed is None:
        return np.random.default_rng(secrets.randbits(256))
    return np.random.default_rng([federation.client_noise_seed, round_number, 0xD9])


def participants(
    federation: Federation, round_number: int, seed: int, rng: np.random.Generator
) -> list[int]:
    """The clients of a round, in growing order."""
    count = federation.clients
    if federation.client_noise is not None:
        came = rng.random(count) < federation.participation
        return np.flatnonzero(came).tolist()
    number = max(1, round(federation.participation * count))
    open_rng = np.random.default_rng([seed, round_number, 0xC0])
    return sorted(open_rng.choice(count, number, replace=False).tolist())


def shares(
    federation: Federation, clients: list[int], examples: list[int]
) -> list[float]:
    """What each client's change is multiplied by."""
    if federation.client_noise is not None:
        expected = federation.clients * federation.participation
        return [1 / expected] * len(clients)
    total = sum(examples[client] for client in clients)
    return [examples[client] / total for client in clients]


def noise(
    federation: Federation,
    kinds: Mapping[str, Kind],
    weights: Mapping[str, np.ndarray],
    rng: np.random.Generator,
) -> dict[str, np.ndarray] | None:
    """Name -> what is added to the mean change of weights that train."""
    if federation.client_noise is None:
        return None
    expected = federation.clients * federation.participation
    deviation = federation.client_noise * federation.client_clip / expected
    return {
        name: rng.normal(0.0, deviation, weights[name].shape)
        for name, kind in kinds.items()
        if kind == "trained"
    }


def mechanism(federation: Federation) -> Mechanism:
    """What a round costs; no client is left out by a limit."""
    return Mechanism(
        federation.client_noise,
        federation.clients,
        federation.clients * federation.participation,
        federation.clients,
    )
