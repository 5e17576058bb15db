"""Fields of distillation and pruning that are right alone and wrong together."""

from typing import Any

# Of `ImageConfig`: they change an example anew in each epoch.
_CHANGING = (
    "augment_shift",
    "augment_rotation",
    "augment_zoom",
    "augment_contrast",
    "augment_flip",
    "augment_crop",
    "augment_cutout",
    "augment_resized_crop",
)
_OF_TEACHER = ("distill_temperature", "distill_alpha", "teacher_cache")


def of(config: Any) -> list[str]:
    """Every conflict in a `TrainingConfig`."""
    return _without_teacher(config) or _cache(config)


def _without_teacher(config: Any) -> list[str]:
    if config.teacher:
        return []
    defaults = type(config)
    return [
        f"{name}: expected only with a teacher. Received: {name}="
        f"{getattr(config, name)!r}, and no teacher. Name a finished run: --teacher "
        "runs/cnn/1"
        for name in _OF_TEACHER
        if getattr(config, name) != getattr(defaults, name)
    ]


def _cache(config: Any) -> list[str]:
    changing = [name for name in _CHANGING if getattr(config, name, 0)]
    if not (config.teacher_cache and changing):
        return []
    return [
        "teacher_cache: expected training examples that are the same in each epoch. "
        f"Received: {', '.join(changing)}, which changes them, and with them the "
        "teacher's answers. Leave teacher_cache out, or the augmentation"
    ]
