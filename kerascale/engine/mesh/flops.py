"""Floating-point operations of a step on a mesh, counted in what JAX has traced.

Products of matrices and convolutions, forward and backward, a multiplication and an
addition as two, of all devices together: as `training.throughput.flops` counts them in
TensorFlow's graphs. XLA's own `cost_analysis` tells another number: that of one device,
with all that is not a product, and the body of a loop once.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from jax.extend import core


class UncountableError(ValueError):
    """What was traced has products whose number is not known before it runs."""


def count(traced: core.ClosedJaxpr, *, steps_in_loop: bool = False) -> float:
    """Floating-point operations of one call.

    What no result depends on is left out, as XLA leaves it out. Of branches the one
    with the most operations counts.

    Args:
        traced: A function's, as `jax.make_jaxpr` or `jax.jit(f).trace(...)` has it.
        steps_in_loop: Whether a `while_loop` of its outermost level is that over steps:
            it counts as one turn.

    Raises:
        UncountableError: If products are in a loop of unknown length, or in a kernel
            that is no program of JAX.
    """
    total, _ = _of_body(traced, None, turns=1 if steps_in_loop else None)
    return total


# Whether each result of an operation is wanted; each of its arguments.
_Wanted = Sequence[bool]


def _of_body(
    body: Any, wanted: _Wanted | None = None, turns: int | None = None
) -> tuple[float, _Wanted]:
    """Operations of a body for the results that are wanted, and what they need.

    Args:
        body: A `Jaxpr` or `ClosedJaxpr`.
        wanted: For each of its results; None: all.
        turns: How often a `while_loop` in it counts; None: that is not known.
    """
    body = getattr(body, "jaxpr", body)
    wanted = [True] * len(body.outvars) if wanted is None else wanted
    needed = {
        v
        for v, is_wanted in zip(body.outvars, wanted, strict=True)
        if is_wanted and isinstance(v, core.Var)
    }
    total = 0.0
    for equation in reversed(body.eqns):
        results = [v in needed for v in equation.outvars]
        if not any(results) and not equation.effects:
            continue
        operations, arguments = _of_equation(equation, results, turns)
        total += operations
        needed.update(
            v
            for v, is_needed in zip(equation.invars, arguments, strict=True)
            if is_needed and isinstance(v, core.Var)
        )
    return total, [v in needed for v in body.invars]


def _of_equation(
    equation: Any, results: _Wanted, turns: int | None
) -> tuple[float, _Wanted]:
    name, all_arguments = equation.primitive.name, [True] * len(equation.invars)
    if name in _PRODUCTS:
        return 2.0 * _PRODUCTS[name](equation), all_arguments
    if name == "while":
        return _while(equation, turns), all_arguments
    if name in _OF_BODIES:
        return _OF_BODIES[name](equation), all_arguments
    if name in _OPAQUE:
        raise UncountableError(f"what {name} computes is not known")
    bodies = list(core.jaxprs_in_params(equation.params))
    if len(bodies) == 1 and _is_call(equation, bodies[0]):
        return _of_body(bodies[0], results)
    total = sum(_of_body(body)[0] for body in bodies)
    if total and len(bodies) > 1:
        raise UncountableError(f"which of its functions {name} runs is not known")
    return total, all_arguments


def _is_call(equation: Any, body: Any) -> bool:
    """Whether arguments and results of an operation are those of its function."""
    body = getattr(body, "jaxpr", body)
    inputs, outputs = len(equation.invars), len(equation.outvars)
    return (len(body.invars), len(body.outvars)) == (inputs, outputs)


def _shapes(equation: Any) -> list[tuple[int, ...]]:
    return [tuple(v.aval.shape) for v in (*equation.invars[:2], equation.outvars[0])]


# ---------------------------------------------------------------------- products


def _dot_general(equation: Any) -> float:
    left, _, out = _shapes(equation)
    (contracted, _), _ = equation.params["dimension_numbers"]
    return math.prod(out) * math.prod(left[i] for i in contracted)


def _ragged_dot(equation: Any) -> float:
    """Each row of the left with the matrix of its group, or groups of rows summed."""
    left, right, _ = _shapes(equation)
    numbers = equation.params["ragged_dot_dimension_numbers"]
    (_, contracted), (_, batch) = numbers.dot_dimension_numbers
    seen = {*contracted, *batch, *numbers.rhs_group_dimensions}
    free = (size for i, size in enumerate(right) if i not in seen)
    return math.prod(left) * math.prod(free)


def _convolution(equation: Any) -> float:
    """Without the zeros that strides and padding put between and around inputs.

    Each result takes a window of inputs, or each input goes into a window of results,
    which is fewer where a stride is undone, as in a gradient.
    """
    left, kernel, out = _shapes(equation)
    outputs, inputs, *window = equation.params["dimension_numbers"].rhs_spec
    taps = math.prod(kernel[i] for i in window)
    groups = equation.params["feature_group_count"]
    groups *= equation.params["batch_group_count"]
    taken = math.prod(out) * taps * kernel[inputs]
    given = math.prod(left) * taps * kernel[outputs] // groups
    return min(taken, given)


# ------------------------------------------------------------------------ bodies


def _scan(equation: Any) -> float:
    return equation.params["length"] * _of_body(equation.params["jaxpr"])[0]


def _while(equation: Any, turns: int | None) -> float:
    bodies = (equation.params["cond_jaxpr"], equation.params["body_jaxpr"])
    total = sum(_of_body(body)[0] for body in bodies)
    if total and turns is None:
        raise UncountableError("how often a while_loop runs is not known")
    return total and total * turns


def _branches(equation: Any) -> float:
    return max(_of_body(body)[0] for body in equation.params["branches"])


def _shard_map(equation: Any) -> float:
    """Of each device along the axes that it is written for."""
    sizes = equation.params["mesh"].shape
    devices = math.prod(sizes[axis] for axis in equation.params["newly_manual_axes"])
    return devices * _of_body(equation.params["jaxpr"])[0]


_PRODUCTS: dict[str, Callable[[Any], float]] = {
    "dot_general": _dot_general,
    "ragged_dot_general": _ragged_dot,
    "conv_general_dilated": _convolution,
}
_OF_BODIES: dict[str, Callable[[Any], float]] = {
    "scan": _scan,
    "cond": _branches,
    "shard_map": _shard_map,
}
# Kernels of other languages, and cuDNN's attention.
_OPAQUE = {
    "pallas_call",
    "ffi_call",
    "core_map",
    "mpmd_map",
    *(
        f"dot_product_attention_{kind}{way}{wrapper}"
        for kind in ("", "fp8_")
        for way in ("fwd", "bwd")
        for wrapper in ("", "_wrapper")
    ),
}
