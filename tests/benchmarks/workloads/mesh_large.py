"""H: 25 million parameters, whose state is worth cutting."""

import dataclasses

from ..transformer import Shape, workload

WORKLOAD = dataclasses.replace(
    workload(
        "H",
        "Transformer, 8 layers, 512 wide, 64 characters, AdamW, batch 8",
        Shape(layers=8, heads=8, width=512, length=64),
        batch_size=8,
        # A step takes about a second.
        steps_per_epoch=8,
        first_steps=8,
    ),
    # At 1e-3 the first steps of this width lead away.
    learning_rate=1e-4,
)
