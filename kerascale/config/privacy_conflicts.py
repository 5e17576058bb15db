"""Fields of private training that are right alone and wrong together."""

from typing import Any

_OF_PRIVACY = ("dp_noise", "dp_epsilon", "dp_delta", "dp_seed")
# What learns from the examples by a way that is not clipped and noised, or takes the
# steps apart.
_NOT_PRIVATE = {
    "teacher": "a teacher has learned from examples of its own, without noise",
    "quantize_aware": "ranges of activations are those of the examples, without noise",
    "prune": "it was not tried with noise",
    "lora_rank": "adapters have no formula for the gradient of an example",
    "folds": "each fold trains on the same examples, and what they cost adds up",
}


def of(config: Any) -> list[str]:
    """Every conflict in a `TrainingConfig`."""
    given = [
        (name, value)
        for name in _OF_PRIVACY
        if (value := getattr(config, name)) is not None
    ]
    if config.dp_clip is None:
        return [
            f"{name}: expected only with dp_clip. Received: {name}={value!r}, and "
            "dp_clip=None. Say how far one example may move the weights: --dp-clip 1.0"
            for name, value in given
        ]
    problems = []
    if config.dp_noise is None and config.dp_epsilon is None:
        problems.append(
            "dp_clip: expected with dp_noise, or with dp_epsilon, which chooses it. "
            "Received: neither. Say how much noise: --dp-noise 1.1"
        )
    if config.dp_epsilon is not None and config.dp_delta is None:
        problems.append(
            "dp_epsilon: expected with dp_delta, the chance that it does not hold. "
            f"Received: dp_epsilon={config.dp_epsilon:g}, and dp_delta=None. Say it, "
            "below one in as many examples as there are: --dp-delta 1e-5"
        )
    if config.gradient_accumulation_steps > 1:
        problems.append(
            "dp_clip: expected without gradient_accumulation_steps: a step of any size "
            "takes the memory of a usual one. Received: "
            f"gradient_accumulation_steps={config.gradient_accumulation_steps}. Leave "
            "it out"
        )
    if config.all_reduce_dtype != "gradient":
        problems.append(
            "dp_clip: expected gradients that travel as they are. Received: "
            f"all_reduce_dtype={config.all_reduce_dtype}, which rounds them. Leave it "
            "out"
        )
    if "balanced" in config.class_weight:
        problems.append(
            "dp_clip: expected class weights that say nothing of the data. Received: "
            "class_weight=balanced, which counts the labels. Say them: NAME=WEIGHT"
        )
    problems += [
        f"dp_clip: expected without {name}: {reason}. Received: {name}="
        f"{getattr(config, name)!r}. Leave one of them out"
        for name, reason in _NOT_PRIVATE.items()
        if getattr(config, name)
    ]
    return problems
