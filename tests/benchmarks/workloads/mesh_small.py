"""G: D in batches that eight devices divide."""

from ..transformer import Shape, workload

WORKLOAD = workload(
    "G",
    "Transformer, 4 layers, 128 wide, 64 characters, AdamW, batch 16",
    Shape(layers=4, heads=4, width=128, length=64),
    batch_size=16,
    steps_per_epoch=112,
    first_steps=100,
)
