"""From a trained model to what a server loads."""

from typing import Any

__all__ = ["export_converted", "export_saved_model"]


def __getattr__(name: str) -> Any:
    # Labels need no TensorFlow, and a server needs TensorFlow alone.
    if name == "export_saved_model":
        from kerascale.serving.saved_model import export_saved_model

        return export_saved_model
    if name == "export_converted":
        from kerascale.serving.other_formats import export_converted

        return export_converted
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
