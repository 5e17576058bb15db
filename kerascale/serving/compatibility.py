"""Whether a new version can take the place of the one that is served."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kerascale.errors import ExportRefusedError

# Signature -> its method, inputs and outputs: see `graph.read_signatures`.
Signatures = Mapping[str, Mapping[str, Any]]

_PREDICT = ("serving_default", "serve")


def refuse_frozen_batch(signatures: Signatures) -> None:
    """Refuses a signature that takes or gives one number of examples only.

    Raises:
        ExportRefusedError: Naming the tensors.
    """
    frozen = [
        f"signature {name}: {side[:-1]} {tensor}: expected a free batch dimension. "
        f"Received: shape {info['shape']}"
        for name, signature in signatures.items()
        for side in ("inputs", "outputs")
        for tensor, info in signature[side].items()
        if info["shape"] is not None and info["shape"][:1] != [None]
    ]
    if frozen:
        raise ExportRefusedError(["A server batches requests", *frozen])


def breaks(served: Signatures, new: Signatures) -> list[str]:
    """What a client of the served version would find changed.

    Args:
        served: Signatures of the version that is served.
        new: Those of the version that is to follow.

    Returns:
        One message for each difference that breaks a client. Signatures may be added,
        dimensions may become free, and outputs may be added to several.
    """
    return [text for name in served for text in _changes(name, served[name], new)]


def _changes(name: str, before: Mapping[str, Any], new: Signatures) -> Iterator[str]:
    if name not in new:
        yield f"signature {name}: expected, as it is served. Received: {_listed(new)}"
        return
    now = new[name]
    if now["method"] != before["method"]:
        yield (
            f"signature {name}: expected the method {before['method']}. Received: "
            f"{now['method']}"
        )
    for side in ("inputs", "outputs"):
        served_tensors, tensors = before[side], now[side]
        for tensor, info in served_tensors.items():
            where = f"signature {name}: {side[:-1]} {tensor}"
            if tensor not in tensors:
                received = _listed(tensors)
                yield f"{where}: expected, as it is served. Received: {received}"
            else:
                yield from _retyped(where, info, tensors[tensor])
        added = sorted(set(tensors) - set(served_tensors))
        if added and side == "inputs":
            yield (
                f"signature {name}: expected the inputs that clients send "
                f"({_listed(served_tensors)}). Received: also {', '.join(added)}"
            )
        # A client in REST gets a bare list for one output, else an object.
        elif added and len(served_tensors) == 1 and set(served_tensors) <= set(tensors):
            yield (
                f"signature {name}: expected one output, which REST answers as a bare "
                f"list. Received: also {', '.join(added)}"
            )


def _retyped(
    where: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[str]:
    if now["dtype"] != before["dtype"]:
        yield f"{where}: expected {before['dtype']}. Received: {now['dtype']}"
    old, new = before["shape"], now["shape"]
    if new is None or old == new:
        return
    if old is None or len(old) != len(new):
        yield f"{where}: expected shape {_shape(old)}. Received: {_shape(new)}"
        return
    for axis, (size_before, size_now) in enumerate(zip(old, new, strict=True)):
        # What was of one size may take any now; what took any may not be frozen.
        if size_now is not None and size_now != size_before:
            wanted = "a free dimension" if size_before is None else str(size_before)
            yield f"{where}: expected {wanted} at axis {axis}. Received: {size_now}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _shape(sizes: Sequence[int | None] | None) -> str:
    return "of any rank" if sizes is None else str(tuple(sizes))


def changed_labels(before: Sequence[str] | None, now: Sequence[str]) -> list[str]:
    """Whether a place of the output stands for something else than it did."""
    if before is None or list(before) == list(now):
        return []
    if len(before) != len(now):
        return [f"labels: expected {len(before)}. Received: {len(now)}"]
    place = next(i for i, label in enumerate(before) if label != now[i])
    return [
        f"labels: expected {before[place]!r} at place {place} of the output. Received: "
        f"{now[place]!r}"
    ]


def main_metric(metrics: Mapping[str, Any]) -> str | None:
    """The metric that a version is judged by; None without any.

    That is the loss of a language model, the R2 of a regression, the accuracy of what
    else has one.
    """
    names = ("accuracy", "r2", "loss")
    if "perplexity" in metrics:
        names = ("loss",)
    return next(
        (name for name in names if _number(metrics.get(name)) is not None), None
    )


def drop(
    before: Mapping[str, Any], now: Mapping[str, Any], max_drop: float
) -> list[str]:
    """Whether the main metric is worse than it may be.

    Args:
        before: Metrics of the served version.
        now: Those of the new one.
        max_drop: How much worse, in the metric's own unit.
    """
    name = main_metric(now)
    if name is None or name != main_metric(before):
        return []
    served, value = _number(before[name]), _number(now[name])
    loss = value - served if name == "loss" else served - value
    # Not `loss > max_drop`: a NaN is worse than anything.
    if loss <= max_drop + 1e-12 or math.isnan(served):
        return []
    return [
        f"{name}: expected no more than {max_drop:g} worse than that of the served "
        f"version, {served:.4f}. Received: {value:.4f}"
    ]


def _number(value: Any) -> float | None:
    """A metric's value; the record has words for those that JSON has not."""
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
