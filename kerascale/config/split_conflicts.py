"""Fields that say which examples are held out, and that are wrong together."""

from typing import Any


def of(config: Any) -> list[str]:
    """Every conflict in a `TrainingConfig`."""
    problems = []
    if config.fold is not None and config.folds is None:
        problems.append(
            "fold: expected only with folds. Received: "
            f"fold={config.fold} alone. Say how many there are"
        )
    if config.folds is not None and (config.fold or 0) >= config.folds:
        problems.append(
            f"fold: expected less than folds, {config.folds}. Received: {config.fold}. "
            "They are counted from 0"
        )
    if config.group is not None and config.time is not None:
        problems.append(
            "group and time: expected at most one column to divide by. Received: "
            f"{config.group!r} and {config.time!r}. Keep one of them"
        )
    for name in ("group", "time"):
        value = getattr(config, name)
        if value is not None and value == config.label:
            problems.append(
                f"{name}: expected another column than the label. Received: {value!r}"
            )
    if config.hold_out_validation:
        return problems
    if (config.monitor or "").startswith("val_"):
        problems.append(
            "monitor: expected a metric of the training, as hold_out_validation is "
            f"False. Received: {config.monitor!r}. Pass "
            f"{config.monitor.removeprefix('val_')}"
        )
    if config.early_stopping_patience is not None:
        problems.append(
            "early_stopping_patience: expected with validation examples. Received: "
            f"{config.early_stopping_patience} with hold_out_validation=False"
        )
    return problems
