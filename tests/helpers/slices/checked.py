"""Models of the recipes, which are shown that slices are the batch, and not trained."""

from helpers.small import FIELDS

import kerascale as ks


def recipe(name):
    def make():
        found = ks.load_recipe(name)
        config = found.Config(**FIELDS[name])
        datasets = found.make_datasets(config)
        x, y = next(datasets.train.dataset().take(1).as_numpy_iterator())
        model = found.make_model(config, datasets)
        return model, (x[:17], y[:17])

    return make


CASES = {name: recipe(name) for name in FIELDS}
