"""A model that trains with more variables than it has when it is saved."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras


class PlainSaving:
    """Put in front of a model's class: what it saves as a whole is a plain model.

    `save`, `pickle` and `copy` do; `save_weights` writes all that is needed to go on.
    Several mixins of this kind may stand in front of one class.
    """

    def save(self, *args: Any, **kwargs: Any) -> None:
        with self._as_plain():
            super().save(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        with self._as_plain():
            return super().__reduce__()

    @contextlib.contextmanager
    def _as_plain(self) -> Iterator[None]:
        """Within it the model is plain. To be extended, around `super()`'s."""
        yield


@contextlib.contextmanager
def with_new_optimizer(
    model: keras.Model, variables: Sequence[keras.Variable]
) -> Iterator[None]:
    """Within it a model has an optimizer that has not updated anything yet.

    The state of its own would not fit the model that is loaded from the file, which
    Keras says with a warning.

    Args:
        model: Compiled or not.
        variables: Those that train in the model that is loaded.
    """
    optimizer = vars(model).get("optimizer")
    if optimizer is None:
        yield
        return
    new = type(optimizer).from_config(optimizer.get_config())
    with model.distribute_strategy.scope():
        new.build(list(variables))
    # Past Keras' own __setattr__, which would track it.
    vars(model)["optimizer"] = new
    try:
        yield
    finally:
        vars(model)["optimizer"] = optimizer
