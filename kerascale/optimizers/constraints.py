"""Constraints on weights that Keras does not have."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerascale")
class ClipWeights(keras.constraints.Constraint):
    """Clips every weight to [-limit, limit] after each update.

    Args:
        limit: A positive number.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, w: Any) -> Any:
        return keras.ops.clip(w, -self.limit, self.limit)

    def get_config(self) -> dict[str, Any]:
        return {"limit": self.limit}
