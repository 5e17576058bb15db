"""From a trained model to what a server loads."""

from kerascale.serving.saved_model import export_saved_model

__all__ = ["export_saved_model"]
