"""D: nanoGPT's setting for a CPU."""

from ..transformer import Shape, workload

WORKLOAD = workload(
    "D",
    "Transformer, 4 layers, 128 wide, 64 characters, AdamW, batch 12",
    Shape(layers=4, heads=4, width=128, length=64),
    batch_size=12,
    steps_per_epoch=112,
    first_steps=100,
)
