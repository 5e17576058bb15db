"""Programs on slices of a batch that were seen to be the batch, in an earlier process.

To compare them takes as long as to trace and run a step or two more. A program is known
by its graph, which is what runs: another loss, layer, line of a user's code, size of a
batch or number of parts is another graph.
"""

import contextlib
import hashlib
import itertools
import json
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from kerascale._version import __version__
from kerascale.engine.collectives import shared_memory
from kerascale.engine.compat import tensorflow_private
from kerascale.runtime.cache_dir import cache_dir

_VERSIONS = (tf.__version__, keras.__version__, __version__)
# What they run is no part of a graph.
_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


def _is_known_by_graph(graph: Any) -> bool:
    """Whether nothing runs that is no part of it.

    Sums over workers are all alike: TensorFlow numbers what calls Python.
    """
    bodies = [graph.node, *(f.node_def for f in graph.library.function)]
    for node in itertools.chain(*bodies):
        if node.op not in _PYTHON:
            continue
        if node.attr["token"].s not in shared_memory.tokens():
            return False
        node.attr["token"].s = b"sum"
    return True


class Agreement:
    """That of slices with the whole.

    Args:
        programs: What runs, traced.
        facts: What else it depends on, such as how a batch is split: anything that
            JSON takes.
    """

    def __init__(
        self,
        programs: Iterable[tf.types.experimental.ConcreteFunction],
        facts: Any,
    ) -> None:
        key = hashlib.sha256(json.dumps([_VERSIONS, facts]).encode())
        self._may_be_known = True
        for program in programs:
            graph = program.graph.as_graph_def()
            if not _is_known_by_graph(graph):
                self._may_be_known = False
            key.update(tensorflow_private.text_of(graph))
            for captured in program.captured_inputs:
                # Constants are no part of the graph; variables may have any value.
                if captured.dtype not in (tf.resource, tf.variant):
                    array = captured.numpy()
                    is_text = captured.dtype == tf.string
                    text = repr(array.tolist()).encode() if is_text else b""
                    key.update(text or array.tobytes())
        self._path = cache_dir() / "executions" / f"parts-{key.hexdigest()[:32]}"

    def is_known(self) -> bool:
        """Whether they were seen to agree."""
        return self._may_be_known and self._path.is_file()

    def remember(self) -> None:
        """They agree; it is kept, if the cache can be written."""
        if self._may_be_known:
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.touch()
