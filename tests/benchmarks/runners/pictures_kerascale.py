"""kerascale on packed pictures: what `fit` reads, without a model."""

import sys

import kerascale as ks

from .. import protocol
from ..streaming.reader import BATCH, SIDE, SMALLEST_AREA, Reader

_EPOCHS = 10**6


def batches(folder):
    recipe = ks.load_recipe("cnn")
    config = recipe.Config(
        dataset=f"packed:{folder}",
        image_size=SIDE,
        batch_size=BATCH,
        augment_resized_crop=SMALLEST_AREA,
    )
    train = ks.datasets.from_config(config, kinds=("image",)).train
    for images, labels in train.dataset(_EPOCHS):
        if len(labels) == BATCH:
            yield images, labels


if __name__ == "__main__":
    _, folder = sys.argv
    reader = Reader(lambda: batches(folder), ("tensorflow", "keras", "array_record"))
    protocol.serve(reader, 1)
