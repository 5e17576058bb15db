"""Small data sets, stored by TensorFlow Datasets as a user's script would."""

import numpy as np
import tensorflow_datasets as tfds

from kerascale.datasets.sources.tfds_examples import quiet_tfds

ROWS = 96
COLOURS = ("red", "green", "blue")


def store(folder, name, features, *, file_format="tfrecord", supervised=None, **splits):
    """Stores examples as the data set `name`.

    Args:
        folder: TFDS_DATA_DIR.
        name: Of the data set.
        features: By name, as TFDS has them.
        file_format: `tfrecord` or `array_record`.
        supervised: `supervised_keys`.
        **splits: Examples of each split.
    """

    with tfds.core.registered.skip_registration(), quiet_tfds():
        made = type(name, (_Builder,), {"name": name})
        made.made_of = (tfds.features.FeaturesDict(features), supervised, splits)
        made(data_dir=folder, file_format=file_format).download_and_prepare()


with tfds.core.registered.skip_registration():

    class _Builder(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features, supervised, _ = self.made_of
            return tfds.core.DatasetInfo(
                builder=self,
                features=features,
                supervised_keys=supervised,
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {split: enumerate(rows) for split, rows in self.made_of[2].items()}

        def _generate_examples(self, examples):
            return examples


def houses(rows=ROWS, seed=0):
    """Rows of a table: numbers, a class, words, and numbers to predict."""
    random = np.random.default_rng(seed)
    area = random.random(rows)
    return [
        {
            "features": {
                "area": np.float32(100 * a),
                "rooms": int(a * 5),
                "heating": ["gas", "oil", ""][i % 3],
                "colour": i % 3 if i % 11 else -1,
                "sold": bool(i % 2),
                "age": np.float32(np.nan if i % 10 == 0 else i % 7),
            },
            "price": np.float32(a * 300 + 5000),
            "rent": float(a * 10),
            "tags": [j for j in range(3) if a > 0.25 * (j + 1)],
            "place": np.array([a, -a], np.float32),
            "tax": np.array([a / 2], np.float32),
            "kind": int(a > 0.5),
            "grade": int(a * 3.99),
            "noise": np.float32(random.random()),
        }
        for i, a in enumerate(area)
    ]


HOUSES = {
    "features": {
        "area": np.float32,
        "rooms": np.int64,
        "heating": tfds.features.Tensor(shape=(), dtype=np.str_),
        "colour": tfds.features.ClassLabel(names=COLOURS),
        "sold": np.bool_,
        "age": np.float32,
    },
    "price": tfds.features.Scalar(np.float32),
    "rent": tfds.features.Scalar(np.float64),
    "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=["a", "b", "c"])),
    "place": tfds.features.Tensor(shape=(2,), dtype=np.float32),
    "tax": tfds.features.Tensor(shape=(1,), dtype=np.float32),
    "kind": tfds.features.ClassLabel(names=["flat", "house"]),
    "grade": np.int32,
    "noise": np.float32,
}
