"""E: nanoGPT's "baby" size, in smaller batches."""

from ..transformer import Shape, workload

WORKLOAD = workload(
    "E",
    "Transformer, 6 layers, 384 wide, 256 characters, AdamW, batch 8",
    Shape(layers=6, heads=6, width=384, length=256),
    batch_size=8,
    # A step takes more than a second: an epoch is long enough for a round.
    steps_per_epoch=16,
    first_steps=16,
)
