"""From a trained model to what a server loads."""

from typing import Any

__all__ = ["export_saved_model"]


def __getattr__(name: str) -> Any:
    # A server needs TensorFlow alone, and exporting Keras.
    if name == "export_saved_model":
        from kerascale.serving.saved_model import export_saved_model

        return export_saved_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
