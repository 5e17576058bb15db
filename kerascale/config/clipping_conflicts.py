"""Bounds of gradients and of weights that are right alone and wrong together."""

from typing import Any

_CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")


def of(config: Any) -> list[str]:
    """What is wrong with them, for a person.

    Args:
        config: A `TrainingConfig`.
    """
    problems = []
    clips = [name for name in _CLIPS if getattr(config, name) is not None]
    if len(clips) > 1:
        problems.append(
            f"{' and '.join(clips)}: expected at most one kind of gradient "
            f"clipping. Received: {len(clips)}. Keep one of them"
        )
    if config.max_norm is not None and config.weight_clip is not None:
        problems.append(
            "max_norm and weight_clip: expected at most one constraint on the "
            "weights. Received: both. Keep one of them"
        )
    return problems
