"""Fields of compression in training that are right alone and wrong together."""

from typing import Any

from kerascale.config.augmentations import AUGMENTATIONS

_OF_PRUNING = ("prune_structure", "prune_begin", "prune_end")
_SINGLE = ("unstructured", "2:4")
_OF_QUANTIZATION = ("quantize_begin",)
_OF_ADAPTERS = ("lora_alpha", "lora_layers", "lora_from")
# What is done to kernels, which adapters leave as they are.
_OF_KERNELS = ("prune", "l1", "l2", "max_norm", "weight_clip", "distill_features")
_OF_TEACHER = (
    "distill_temperature",
    "distill_alpha",
    "distill_features",
    "distill_features_weight",
    "distill_attention",
    "distill_attention_weight",
    "teacher_cache",
    "teacher_cache_top",
)


def of(config: Any) -> list[str]:
    """Every conflict in a `TrainingConfig`."""
    return [
        *_teacher(config),
        *_pruning(config),
        *_quantization(config),
        *_adapters(config),
    ]


def _adapters(config: Any) -> list[str]:
    if config.lora_rank is None:
        return fields_without(
            config,
            _OF_ADAPTERS,
            "lora_rank",
            "lora_rank=None. Say how large adapters are: --lora-rank 4",
        )
    return [
        f"{name}: expected as it is by default with lora_rank, whose training leaves "
        f"the kernels as they are. Received: {name}={value!r}. Leave it out"
        for name, value in fields_set(config, _OF_KERNELS)
    ]


def _pruning(config: Any) -> list[str]:
    if config.prune is None:
        way_out = "prune=None. Say how much: --prune 0.8"
        return fields_without(config, _OF_PRUNING, "prune", way_out)
    problems = []
    if config.prune_begin >= config.prune_end:
        problems.append(
            "prune_begin: expected less than prune_end. Received: prune_begin="
            f"{config.prune_begin}, prune_end={config.prune_end}"
        )
    if config.prune_structure == "2:4" and config.prune != 0.5:
        problems.append(
            "prune: expected 0.5 with prune_structure=2:4, of which half the weights "
            f"go. Received: prune={config.prune}"
        )
    return problems


def _quantization(config: Any) -> list[str]:
    if config.quantize_aware is None:
        way_out = "quantize_aware=None. Say how: --quantize-aware int8"
        return fields_without(config, _OF_QUANTIZATION, "quantize_aware", way_out)
    problems = []
    if config.prune is not None and config.prune_structure not in _SINGLE:
        problems.append(
            "quantize_aware: expected a model that keeps its layers. Received: "
            f"prune_structure={config.prune_structure}, which cuts some of them "
            "smaller at the end. Prune single weights (unstructured, or 2:4)"
        )
    if config.lora_rank is not None:
        problems.append(
            "quantize_aware: expected kernels that train. Received: "
            f"lora_rank={config.lora_rank}, which leaves them as they are. Leave one "
            "of them out"
        )
    return problems


def fields_without(
    config: Any, names: tuple[str, ...], wanted: str, way_out: str
) -> list[str]:
    """Fields that say nothing without another one, which is not there."""
    return [
        f"{name}: expected only with {wanted}. Received: {name}={value!r}, and "
        f"{way_out}"
        for name, value in fields_set(config, names)
    ]


def fields_set(config: Any, names: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Those fields that have not their defaults."""
    values = [(name, getattr(config, name)) for name in names]
    return [(n, v) for n, v in values if v != getattr(type(config), n)]


def _teacher(config: Any) -> list[str]:
    if not config.teacher:
        way_out = "no teacher. Name a finished run: --teacher runs/cnn/1"
        return fields_without(config, _OF_TEACHER, "a teacher", way_out)
    problems = _hints(config)
    if config.teacher_cache_top is not None and not config.teacher_cache:
        problems.append(
            "teacher_cache_top: expected only with teacher_cache. Received: "
            f"{config.teacher_cache_top}, and teacher_cache=False"
        )
    changing = [name for name in AUGMENTATIONS if getattr(config, name, 0)]
    if config.teacher_cache and changing:
        problems.append(
            "teacher_cache: expected training examples that are the same in each "
            f"epoch. Received: {', '.join(changing)}, which changes them, and with "
            "them the teacher's answers. Leave teacher_cache out, or the augmentation"
        )
    return problems


def _hints(config: Any) -> list[str]:
    problems = []
    for kind in ("features", "attention"):
        given = getattr(config, f"distill_{kind}")
        weight = f"distill_{kind}_weight"
        if not given:
            problems += [
                f"{name}: expected only with distill_{kind}. Received: {name}={value!r}"
                for name, value in fields_set(config, (weight,))
            ]
            continue
        if config.teacher_cache:
            problems.append(
                f"distill_{kind}: expected without teacher_cache, which keeps answers "
                "alone. Received: both. Leave teacher_cache out"
            )
        if len(config.teacher) > 1:
            problems.append(
                f"distill_{kind}: expected one teacher, whose layers are looked at. "
                f"Received: {len(config.teacher)}"
            )
        problems += [
            f"distill_{kind}: expected LAYER:LAYER, or one LAYER. Received: {pair!r}"
            for pair in given
            if not 1 <= len(pair.split(":")) <= 2 or not all(pair.split(":"))
        ]
    return problems
