"""Names of the fields of `ImageConfig` that change a training image in each epoch."""

AUGMENTATIONS = (
    "augment_shift",
    "augment_rotation",
    "augment_zoom",
    "augment_contrast",
    "augment_flip",
    "augment_crop",
    "augment_cutout",
    "augment_resized_crop",
)
