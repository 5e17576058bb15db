"""What is told while a step is traced, for whoever asked for it in this thread."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

Box = TypeVar("Box")


class Collector(Generic[Box]):
    """A box for each thread, since replicas are traced in threads of their own.

    Args:
        make: Makes an empty box.
    """

    def __init__(self, make: Callable[[], Box]) -> None:
        self._make = make
        self._here = threading.local()

    @property
    def box(self) -> Box | None:
        """The box of who asked last, in this thread; None: nobody has."""
        return getattr(self._here, "box", None)

    @contextlib.contextmanager
    def collecting(self) -> Iterator[Box]:
        """Within it, in this thread, what is told goes into a new box."""
        before = self.box
        self._here.box = box = self._make()
        try:
            yield box
        finally:
            self._here.box = before

    def handed_out(
        self,
        function: Callable[..., Any],
        wrap: Callable[[Callable], Callable],
        take: Callable[[Box], None],
    ) -> Callable[..., Any]:
        """A function in a graph of its own, which hands out what is told within it.

        Args:
            function: Traces a step, or a part of one.
            wrap: Makes the graph: `tf.function`.
            take: Is given what was told, outside of that graph.
        """

        def inside(*args: Any) -> tuple[Any, Box]:
            with self.collecting() as box:
                return function(*args), box

        wrapped = wrap(inside)

        def outside(*args: Any) -> Any:
            result, told = wrapped(*args)
            take(told)
            return result

        return outside
