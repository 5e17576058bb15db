"""Fields of each recipe for a model that is as small as shows what is asked.

That is whether the same comes out again, or elsewhere.
"""

FIELDS = {
    "mlp": {"units": (8,)},
    "cnn": {"filters": (4, 8), "dense_units": 8},
    "finetune": {"frozen_epochs": 1},
    "rnn": {"units": (8,)},
    "transformer": {"num_layers": 1, "num_heads": 2, "width": 8},
    "language_model": {"num_layers": 1, "num_heads": 2, "width": 8, "max_length": 32},
}
