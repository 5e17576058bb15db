"""Whether a model has the metric that chooses its best weights."""

from typing import Any

import keras

from kerascale.config.fields import nearest, to_dict
from kerascale.errors import RefusedError


def refuse_unknown(model: keras.Model, config: Any, has_validation: bool) -> None:
    """Refuses a `monitor` that no epoch will have a value of.

    Metrics of a model with several outputs, or with a `train_step` of its own, have
    names that are known after the first epoch only; there it is looked at then.

    Args:
        model: Compiled.
        config: The recipe's configuration.
        has_validation: Whether there are validation examples.

    Raises:
        RefusedError: Naming the metrics that there are.
    """
    wanted = to_dict(config).get("monitor")
    if wanted is None:
        return
    if wanted.startswith("val_") and not has_validation:
        raise RefusedError(
            "monitor: expected a metric of the training, as there are no validation "
            f"examples. Received: {wanted!r}. Pass {wanted.removeprefix('val_')}."
        )
    names = _names(model)
    if names is None or wanted.removeprefix("val_") in names:
        return
    known = [*names, *(f"val_{name}" for name in names if has_validation)]
    raise RefusedError(
        f"monitor: expected one of {', '.join(known)}. Received: {wanted!r}."
        f"{nearest(wanted, known)}"
    )


def _names(model: keras.Model) -> list[str] | None:
    """The names in the logs; None: they are not known."""
    compiled = model.get_compile_config() or {}
    metrics = [
        *(compiled.get("metrics") or ()),
        *(compiled.get("weighted_metrics") or ()),
    ]
    has_own_step = "train_step" in {
        name for kind in type(model).__mro__ for name in _of_user(kind)
    }
    if has_own_step or len(getattr(model, "outputs", None) or [None]) != 1:
        return None
    names = ["loss"]
    for metric in metrics:
        name = metric if isinstance(metric, str) else None
        if isinstance(metric, dict):
            name = metric.get("config", {}).get("name")
        if not isinstance(name, str):
            return None
        names.append(name)
    return names


def _of_user(kind: type) -> list[str]:
    module = kind.__module__.partition(".")[0]
    return [] if module in ("keras", "kerascale", "builtins") else list(vars(kind))
