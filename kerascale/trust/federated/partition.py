"""Which training examples each client has."""

import numpy as np

from kerascale.errors import RefusedError

_KINDS = "iid, dirichlet:ALPHA or shards:N"


def problems_of(text: str) -> list[str]:
    """What is wrong with the name of a partition."""
    kind, colon, value = text.partition(":")
    if kind == "iid" and not colon:
        return []
    if kind == "dirichlet":
        try:
            if 0 < float(value) < float("inf"):
                return []
        except ValueError:
            pass
        return [f"partition: expected dirichlet:ALPHA, above 0. Received: {text!r}"]
    if kind == "shards":
        if value.isdecimal() and int(value) > 0:
            return []
        return [f"partition: expected shards:N, an integer > 0. Received: {text!r}"]
    return [f"partition: expected {_KINDS}. Received: {text!r}"]


def divided(
    text: str, labels: np.ndarray | None, examples: int, clients: int, seed: int
) -> list[np.ndarray]:
    """The examples of each client, in growing order; each has one at least.

    Args:
        text: The partition.
        labels: Integer class of each example; None: they have none.
        examples: How many there are.
        clients: How many.
        seed: Decides it.

    Raises:
        RefusedError: If there are more clients than examples, or no classes for a
            partition that asks for them.
    """
    kind, _, value = text.partition(":")
    problems = []
    if clients > examples:
        problems.append(
            f"clients: expected at most the {examples:,} training examples. Received: "
            f"{clients:,}. Take fewer clients."
        )
    if kind != "iid" and labels is None:
        problems.append(
            "partition: expected iid, where examples have no classes. Received: "
            f"{text!r}."
        )
    if kind == "shards" and clients * int(value) > examples:
        problems.append(
            f"partition: expected at most {examples:,} shards in all. Received: "
            f"{clients:,} clients with {value} each."
        )
    if problems:
        raise RefusedError(problems, heading="federated")
    rng = np.random.default_rng([seed, 0xFED])
    order = rng.permutation(examples)
    if kind == "iid":
        found = np.array_split(order, clients)
    elif kind == "shards":
        found = _shards(order, labels, clients, int(value), rng)
    else:
        found = _dirichlet(order, labels, clients, float(value), rng)
    return [np.sort(part) for part in _none_empty(found)]


def _shards(
    order: np.ndarray,
    labels: np.ndarray,
    clients: int,
    each: int,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """McMahan et al. 2017, section 3."""
    by_class = order[np.argsort(labels[order], kind="stable")]
    shards = np.array_split(by_class, clients * each)
    chosen = rng.permutation(len(shards)).reshape(clients, each)
    return [np.concatenate([shards[i] for i in row]) for row in chosen]


def _dirichlet(
    order: np.ndarray,
    labels: np.ndarray,
    clients: int,
    alpha: float,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Hsu et al. 2019, "Measuring the effects of non-identical data distribution"."""
    parts: list[list[np.ndarray]] = [[] for _ in range(clients)]
    for label in np.unique(labels):
        own = order[labels[order] == label]
        shares = rng.dirichlet(np.full(clients, alpha))
        ends = np.floor(np.cumsum(shares)[:-1] * len(own) + 0.5).astype(int)
        for part, piece in zip(parts, np.split(own, ends), strict=True):
            part.append(piece)
    return [np.concatenate(part) for part in parts]


def _none_empty(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Each has one: the largest gives its last away."""
    parts = list(parts)
    for i, part in enumerate(parts):
        if not len(part):
            largest = max(range(len(parts)), key=lambda j: len(parts[j]))
            parts[i] = parts[largest][-1:]
            parts[largest] = parts[largest][:-1]
    return parts
