"""Rounds of a federation, into a run folder like that of an ordinary training."""

import contextlib
import os
import types
from typing import Any

from kerascale import strategies
from kerascale.config import CheckpointPolicy
from kerascale.config.recipes import Recipe, load_recipe
from kerascale.errors import RefusedError
from kerascale.runs.folder import RunFolder
from kerascale.runs.run import Run
from kerascale.training import finish, preconditions
from kerascale.training.context import RunContext
from kerascale.trust.federated import client, opening
from kerascale.trust.federated.federation import Federation, config_of
from kerascale.trust.federated.rounds import Rounds
from kerascale.trust.privacy import packages


def federated(
    recipe: str | Recipe | types.ModuleType,
    config: Any = None,
    *,
    run_dir: str | os.PathLike | None = None,
    **federation: Any,
) -> Run:
    """Trains a recipe with clients in processes of their own.

    The training examples are divided among the clients. In each round some of them
    train the server's weights on their own examples, and the server puts together what
    they send back. The result depends on the recipe, the federation and the seed, not
    on the number of processes. It is a simulation on one machine: each process reads
    the whole data set, and lets a client see its own part alone.

    Args:
        recipe: A recipe, or what `load_recipe` takes.
        config: The recipe's `Config`; None: its defaults. The learning rate stays the
            same, and `epochs` are the rounds.
        run_dir: The run folder: new, empty, or that of a federation which was
            interrupted and goes on; None: `runs/RECIPE/N`.
        **federation: Fields of `Federation`.

    Returns:
        The run. Its model has the best weights by validation loss.

    Raises:
        RefusedError: If anything is wrong that can be known before the first round.

    Example:

    ```python
    run = ks.federated("mlp", clients=10, partition="dirichlet:0.3", rounds=20)
    ```
    """
    wanted = Federation(**federation)
    recipe = load_recipe(recipe)
    config = recipe.Config() if config is None else config
    preconditions.refuse_other_backends()
    preconditions.refuse_other_config(recipe, config)
    config = config_of(config, wanted)
    if wanted.client_noise is not None and packages.missing():
        raise RefusedError(packages.missing())
    RunFolder.check(run_dir, recipe.name)
    strategy = strategies.get("one_device")
    own = client.made(recipe, config, wanted)
    preconditions.refuse_undivided(config, own.datasets)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(opening.opened(run_dir, recipe, config, own))
        context = RunContext(
            strategy,
            recipe,
            config,
            own.datasets,
            CheckpointPolicy(),
            folder=folder,
            path=folder.path,
        )
        folder.write_config(
            recipe, config, own.datasets.info, strategies.describe(strategy)
        )
        rounds = Rounds(context, own)
        history = rounds.run(stack)
        metrics = rounds.finish(history)
    return Run(
        model=own.model,
        config=config,
        recipe=recipe.source,
        info=finish.counted(own.datasets),
        history=history,
        metrics=metrics,
        path=context.path,
        vectorizer=own.datasets.vectorizer,
    )
