"""Another model of the same task, whose adversarial examples are tried on the first.

Papernot et al. 2017, "Practical black-box attacks against machine learning".
"""

import dataclasses
from typing import Any

import keras

from kerascale.config import recipes
from kerascale.datasets import Datasets
from kerascale.runs.run import Run
from kerascale.training import build, changes, seeding

# Training examples that it sees, in all epochs together, and in how many.
_EXAMPLES = 60_000
_EPOCHS = 10


def trained(run: Run, datasets: Datasets) -> keras.Model:
    """A model as the run's recipe makes it, with another seed, trained plainly.

    It sees each training example ten times, or 60,000 examples in all.

    Args:
        run: The run that is attacked.
        datasets: Its data.
    """
    recipe = recipes.load_recipe(run.recipe)
    config = plain(run.config)
    config = dataclasses.replace(config, seed=run.config.seed + 1)
    seeding.seed(config)
    model = build.make_model(recipe, config, datasets)
    train = datasets.train
    wanted = min(_EPOCHS * train.num_examples, _EXAMPLES)
    size = train.batch_size or 1
    steps = max(1, wanted // size)
    epochs = -(-steps // train.steps_per_epoch)
    model.fit(train.ending_at(steps), epochs=epochs, verbose=0)
    return model


def plain(config: Any) -> Any:
    """A configuration without teacher, pruning, attack and what else changes it."""
    asked = [name for name in changes.FIELDS if getattr(config, name, None)]
    if not asked:
        return config
    defaults = type(config)()
    beginnings = "distill_", "teacher", "prune", "quantize_", "lora_", "adversarial"
    names = [
        field.name
        for field in dataclasses.fields(config)
        if field.name.startswith((*beginnings, "dp_")) or field.name == "epsilon"
    ]
    return dataclasses.replace(config, **{n: getattr(defaults, n) for n in names})
