"""Gradients of a function of arrays: a layer, a loss, or a user's own."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.errors import RefusedError
from kerascale.trust.gradients import rows
from kerascale.trust.gradients.numeric import Moved, Precision
from kerascale.trust.gradients.report import Element, Report, Row

# Of a complex step: so small that nothing is left of its square.
_TINY = 1e-30
# What its error may be.
_EXACT = 1e-9
_FLOAT64 = Precision(float(np.finfo(np.float64).eps))


def check(target: Any, inputs: Sequence[Any]) -> Report:
    """Compares the gradients of a layer, a loss or a function by its inputs.

    Args:
        target: Takes `inputs`. Of several outputs, or of one that is no scalar, a
            weighted sum with random weights is differentiated.
        inputs: Arrays.
    """
    arrays = [np.asarray(each) for each in inputs]
    variables: list[keras.Variable] = []
    function: Callable[..., Any] = target
    places = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    precision = _FLOAT64
    if isinstance(target, keras.layers.Layer):
        if not target.built:
            target(*map(tf.constant, arrays))
        variables = list(target.trainable_variables)
        precision = rows.precision_of(target)
        function = _of_layer(target, len(arrays))
    elif isinstance(target, keras.Loss):
        places = [i for i in places if i == 1]
        function = _of_loss(target)
        if target.dtype != "float64":
            precision = Precision(1.2e-7)
    if not places and not variables:
        raise RefusedError(
            "check_gradients: expected inputs with floats, to differentiate by. "
            f"Received: {', '.join(str(a.dtype) for a in arrays) or 'none'}."
        )
    name = getattr(target, "name", None) or getattr(target, "__name__", "function")
    return of_function(name, function, arrays, places, variables, precision)


def of_function(
    name: str,
    function: Callable[..., Any],
    arrays: Sequence[np.ndarray],
    places: Sequence[int],
    variables: Sequence[keras.Variable] = (),
    precision: Precision = _FLOAT64,
) -> Report:
    """Compares the gradients of a function by some of its inputs, and by variables.

    Args:
        name: For a person.
        function: Takes tensors.
        arrays: Its inputs.
        places: Those to differentiate by.
        variables: To differentiate by, too.
        precision: In which it computes.
    """
    if precision is _FLOAT64:
        arrays = [
            a.astype(np.float64) if i in places else a for i, a in enumerate(arrays)
        ]
    total = _Total(function, arrays)
    value = total()
    random = np.random.default_rng(0)
    inputs, of_variables = total.gradients(places, variables)
    found: list[Row] = []
    for place, gradient in zip(places, inputs, strict=True):
        title = "input" if len(arrays) == 1 else f"input {place}"
        moved = total.moved(place)
        row = rows.row_of(
            "input",
            title,
            arrays[place].shape,
            "by itself",
            moved,
            gradient,
            value=value,
            precision=precision,
            random=random,
        )
        found.append(_by_complex_step(row, total, place, gradient))
    for variable, gradient in zip(variables, of_variables, strict=True):
        found.append(
            rows.row_of(
                "variable",
                variable.path,
                tuple(variable.shape),
                "by itself",
                total.moved_by(variable),
                gradient,
                value=value,
                precision=precision,
                random=random,
            )
        )
    return Report(name, tuple(found), value)


def _by_complex_step(
    row: Row, total: "_Total", place: int, gradient: np.ndarray | None
) -> Row:
    """The row with derivatives to the last digit, where the function allows it.

    `Im f(x + i h) / h` has no difference that rounding spoils: Squire and Trapp 1998,
    "Using complex variables to estimate derivatives of real functions". It holds for
    what is analytic; whether it does is seen by the differences.
    """
    if gradient is None or row.worst is None or row.verdict not in ("right", "kink"):
        return row
    exact = total.complex_derivative(place, row.worst.index)
    if exact is None or not np.isclose(exact, row.worst.numeric, rtol=1e-4, atol=1e-8):
        return row
    automatic = row.worst.automatic
    scale = max(abs(automatic), abs(exact))
    error = abs(automatic - exact) / scale if scale else 0.0
    return dataclasses.replace(
        row,
        where="by itself, complex step",
        verdict="wrong" if error > _EXACT else row.verdict,
        error=error,
        worst=Element(row.worst.index, automatic, exact),
    )


class _Total:
    """A function's outputs, weighted with random numbers and added up."""

    def __init__(
        self, function: Callable[..., Any], arrays: Sequence[np.ndarray]
    ) -> None:
        self._function = function
        self._given = [tf.constant(a) for a in arrays]
        outputs = self._outputs(self._given)
        random = np.random.default_rng(3)
        self._weights = [random.normal(size=t.shape) for t in outputs]
        if len(outputs) == 1 and outputs[0].shape.rank == 0:
            self._weights = [np.ones(())]
        # Traced at once: TensorFlow warns of functions that are made again and again.
        graph = tf.function(self._sum, autograph=False)
        self._compute = graph.get_concrete_function(self._given)

    def _outputs(self, given: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        found = tf.nest.flatten(self._function(*given))
        return [
            t
            for t in map(tf.convert_to_tensor, found)
            if t.dtype.is_floating or t.dtype.is_complex
        ]

    def _sum(self, given: Sequence[tf.Tensor]) -> tf.Tensor:
        return tf.add_n(
            [
                tf.cast(tf.reduce_sum(t * tf.cast(w, t.dtype)), _wide(t))
                for t, w in zip(self._outputs(given), self._weights, strict=True)
            ]
        )

    def __call__(self, given: Sequence[tf.Tensor] | None = None) -> float:
        return float(self._compute(*(self._given if given is None else given)))

    def moved(self, place: int) -> Moved:
        here = self._given[place]

        def moved(by: np.ndarray) -> float:
            given = list(self._given)
            given[place] = here + tf.cast(by, here.dtype)
            return self(given)

        return moved

    def moved_by(self, variable: keras.Variable) -> Moved:
        here = variable.numpy()

        def moved(by: np.ndarray) -> float:
            variable.assign(here + by)
            try:
                return self()
            finally:
                variable.assign(here)

        return moved

    def gradients(
        self, places: Sequence[int], variables: Sequence[keras.Variable]
    ) -> tuple[list[np.ndarray | None], list[np.ndarray | None]]:
        def compute(given: Sequence[tf.Tensor]) -> Any:
            watched = [given[i] for i in places]
            with tf.GradientTape() as tape:
                tape.watch(watched)
                total = self._sum(given)
            return tape.gradient(total, [watched, [v.value for v in variables]])

        graph = tf.function(compute, autograph=False)
        found = graph.get_concrete_function(self._given)(*self._given)
        inputs, own = ([_array(g) for g in each] for each in found)
        return inputs, own

    def complex_derivative(self, place: int, index: tuple[int, ...]) -> float | None:
        """By an element; None where the function takes no complex numbers."""
        given = [
            tf.cast(t, tf.complex128) if t.dtype.is_floating else t for t in self._given
        ]
        if given[place].dtype != tf.complex128:
            return None
        step = np.zeros(given[place].shape, np.complex128)
        step[index] = 1j * _TINY
        given[place] = given[place] + step
        try:
            outputs = self._outputs(given)
            if any(t.dtype != tf.complex128 for t in outputs):
                return None
            total = sum(
                complex(tf.reduce_sum(t * tf.cast(w, t.dtype)))
                for t, w in zip(outputs, self._weights, strict=True)
            )
        except (TypeError, ValueError, tf.errors.OpError):
            return None
        value = self()
        # Of a part that computes in another dtype it is not the same function.
        if abs(total.real - value) > 1e-12 * max(1.0, abs(value)):
            return None
        return total.imag / _TINY


def _wide(tensor: tf.Tensor) -> tf.DType:
    return tf.complex128 if tensor.dtype.is_complex else tf.float64


def _array(gradient: Any) -> np.ndarray | None:
    return None if gradient is None else tf.convert_to_tensor(gradient).numpy()


def _of_layer(layer: keras.layers.Layer, count: int) -> Callable[..., Any]:
    """The layer in training mode, which changes nothing and draws the same again."""
    takes_training = keras_private.takes_training(layer)

    def call(*tensors: tf.Tensor) -> Any:
        arguments = {"training": True} if takes_training else {}
        with keras_private.Aside([]):
            return layer(*tensors[:count], **arguments)

    return call


def _of_loss(loss: keras.Loss) -> Callable[..., Any]:
    def call(y_true: Any, y_pred: Any, *rest: Any) -> Any:
        return loss(y_true, y_pred, *rest)

    return call
