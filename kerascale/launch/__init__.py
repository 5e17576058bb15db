"""Starts a command as several workers on this machine, and watches over them."""

from kerascale.launch.supervisor import launch

__all__ = ["launch"]
