"""Programs of parts whose sums were those of the whole batch, in an earlier process.

To compare them takes as long as to trace and run one step more. A program is known by
its graph: another loss, layer, size of batch or number of parts is another graph. XLA
runs nothing that is no part of it, such as a Python function.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable

import keras
import tensorflow as tf

from kerascale._version import __version__
from kerascale.runtime.cache_dir import cache_dir

_VERSIONS = (tf.__version__, keras.__version__, __version__)


class Agreement:
    """That of the programs of a batch with the whole.

    Args:
        programs: A traced one for each part.
        split: How a batch of which size is split: it goes into the key.
    """

    def __init__(
        self,
        programs: Iterable[tf.types.experimental.ConcreteFunction],
        split: list[tuple[int, int]],
    ) -> None:
        key = hashlib.sha256(json.dumps([_VERSIONS, split]).encode())
        for program in programs:
            graph = program.graph.as_graph_def()
            key.update(graph.SerializeToString(deterministic=True))
            for captured in program.captured_inputs:
                # Constants are no part of the graph; variables may have any value.
                if captured.dtype not in (tf.resource, tf.variant):
                    key.update(repr(captured.numpy().tolist()).encode())
        self._path = cache_dir() / "executions" / f"parts-{key.hexdigest()[:32]}"

    def is_known(self) -> bool:
        """Whether they were seen to agree."""
        return self._path.is_file()

    def remember(self) -> None:
        """They agree; it is kept, if the cache can be written."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
