"""A tuned `tf.data` pipeline over TFRecord files."""

import sys

import tensorflow as tf

from .. import protocol
from ..streaming.reader import BATCH, SIDE, SMALLEST_AREA, Reader

_BUFFER = 10_000
_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}


def _decoded(serialized):
    example = tf.io.parse_single_example(serialized, _FEATURES)
    content = example["image"]
    begin, size, _ = tf.image.sample_distorted_bounding_box(
        tf.image.extract_jpeg_shape(content),
        tf.zeros([1, 0, 4]),
        min_object_covered=0.0,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(SMALLEST_AREA, 1.0),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    window = tf.concat([begin[:2], size[:2]], 0)
    image = tf.io.decode_and_crop_jpeg(
        content,
        window,
        channels=3,
        # The settings of TensorFlow's own benchmarks.
        fancy_upscaling=False,
        dct_method="INTEGER_FAST",
    )
    image = tf.image.resize(image, (SIDE, SIDE))
    return tf.cast(tf.round(image), tf.uint8), example["label"]


def batches(folder):
    files = tf.data.Dataset.list_files(f"{folder}/*.tfrecord", shuffle=True)
    return (
        files.interleave(
            tf.data.TFRecordDataset,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=False,
        )
        .shuffle(_BUFFER)
        .repeat()
        .map(_decoded, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
        .batch(BATCH, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


if __name__ == "__main__":
    _, folder = sys.argv
    protocol.serve(Reader(lambda: batches(folder), ("tensorflow",)), 1)
