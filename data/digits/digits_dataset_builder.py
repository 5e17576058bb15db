"""The builder of `digits`, in TensorFlow Datasets' own convention."""

import importlib.resources
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from typing import Any

import pandas as pd
import tensorflow_datasets as tfds

CLASS_NAMES = tuple(str(digit) for digit in range(10))
IMAGE_SHAPE = (8, 8, 1)


def csv_file() -> Traversable:
    """The raw file beside this module, in a checkout as in an installed package."""
    return importlib.resources.files(__package__).joinpath("digits.csv")


# Not registered by name: somebody's own data set may be called `digits` too.
class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Handwritten digits, 8x8 pixels of 0..16, from `digits.csv`.

    Example:

    ```python
    builder = Builder(data_dir="somewhere")
    builder.download_and_prepare()
    train = builder.as_dataset(split="train")
    ```
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {  # noqa: RUF012 (TFDS' own way to declare it)
        "1.0.0": "1,347 images to train on, 450 to test with."
    }
    # TFDS guesses it from the module's name; in a checkout `data/` is elsewhere.
    pkg_dir_path = tfds.core.Path(__file__).parent

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=IMAGE_SHAPE, encoding_format="png"
                    ),
                    "label": tfds.features.ClassLabel(names=CLASS_NAMES),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://doi.org/10.24432/C50P49",
            license="CC BY 4.0",
            # The stored order is the order of the rows in the CSV file.
            disable_shuffling=True,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # Nothing is downloaded.
        with csv_file().open("rb") as file:
            table = pd.read_csv(file)
        return {
            split: self._generate_examples(table[table["split"] == split])
            for split in ("train", "test")
        }

    def _generate_examples(
        self, table: pd.DataFrame
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        images = table.filter(like="pixel_").to_numpy("uint8")
        images = images.reshape(-1, *IMAGE_SHAPE[:2])
        # PIL encodes a PIL image. TensorFlow would encode an array, and so start
        # its runtime: too early for strategies that have to configure it first.
        to_pil = tfds.core.lazy_imports.PIL_Image.fromarray
        for index, (image, label) in enumerate(
            zip(images, table["label"], strict=True)
        ):
            yield index, {"image": to_pil(image), "label": int(label)}
