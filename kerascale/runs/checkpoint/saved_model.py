"""SavedModels that somebody else has made: graphs are programs."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

from kerascale.errors import RefusedError
from kerascale.runs.checkpoint.saved_model_graph import saver_functions, saver_nodes
from kerascale.runs.checkpoint.saved_model_operations import SAVING, is_unsafe

_BINARY = "saved_model.pb"
_TEXT = "saved_model.pbtxt"
_IN_PARTS = "saved_model.cpb"
# What a protocol buffer can be.
LARGEST_GRAPH = 2**31


def refuse_unsafe_saved_model(path: str | os.PathLike) -> None:
    """Refuses a SavedModel in which `scan_saved_model` finds something.

    Args:
        path: The SavedModel's folder.

    Raises:
        RefusedError: If it does, or the folder is no SavedModel.
    """
    found = scan_saved_model(path)
    if found:
        raise RefusedError(
            "SavedModel: expected a graph that computes alone. Received: "
            f"{os.fspath(path)}, with the operations {', '.join(found)}, which reach "
            "files, the network or Python. Serve it only where you trust its maker."
        )


def scan_saved_model(path: str | os.PathLike) -> list[str]:
    """Names the operations of a SavedModel that reach beyond its computation.

    It reads the graphs of all meta graphs and all functions in their libraries,
    whether or not something calls them, and runs nothing. An operation that writes
    checkpoints counts unless it belongs to the SavedModel's own saver, which every
    SavedModel has.

    It finds more than `saved_model_cli scan`, whose list is WriteFile, ReadFile and
    PrintV2; but PrintV2 counts only where it does not print to standard output, to
    standard error or to the log.

    Not covered: reading a vocabulary (InitializeTableFromTextFileV2) and restoring
    (RestoreV2), since ordinary SavedModels do, and either can name any file; code that
    XLA brings (XlaCallModule); operations of libraries that were loaded into
    TensorFlow besides its own; errors in TensorFlow's kernels and in its reader of
    protocol buffers; a large or slow graph; a folder that is changed afterwards.

    Args:
        path: The SavedModel's folder.

    Returns:
        The operations' names, sorted, each once; empty if there are none.

    Raises:
        RefusedError: If the folder is no SavedModel, or one in parts (`.cpb`), which
            is not read.
    """
    found = set()
    for saved_model in _read(pathlib.Path(path)):
        for meta_graph in saved_model.meta_graphs:
            found.update(_scan(meta_graph))
    return sorted(found)


def _scan(meta_graph: Any) -> Iterator[str]:
    graph = meta_graph.graph_def
    own_nodes = saver_nodes(meta_graph)
    for node in graph.node:
        if is_unsafe(node) and not (node.op in SAVING and node.name in own_nodes):
            yield node.op
    own_functions = saver_functions(meta_graph)
    for function in graph.library.function:
        is_own = function.signature.name in own_functions
        for node in function.node_def:
            if is_unsafe(node) and not (is_own and node.op in SAVING):
                yield node.op


def _read(path: pathlib.Path) -> Iterator[Any]:
    """Every form of it that is in the folder: TensorFlow takes the first it knows."""
    # Imports all of TensorFlow; the rest of this package needs none of it.
    from google.protobuf import message, text_format
    from tensorflow.core.protobuf import saved_model_pb2

    if (path / _IN_PARTS).exists():
        raise _refused(path, f"has {_IN_PARTS}, which is not read")
    names = [name for name in (_BINARY, _TEXT) if (path / name).exists()]
    if not names:
        raise _refused(path, f"has no {_BINARY}")
    for name in names:
        saved_model = saved_model_pb2.SavedModel()
        try:
            if (path / name).stat().st_size > LARGEST_GRAPH:
                raise _refused(path, f"has a {name} of more than {LARGEST_GRAPH} bytes")
            data = (path / name).read_bytes()
            if name == _TEXT:
                text_format.Parse(data, saved_model)
            else:
                saved_model.ParseFromString(data)
        except (message.DecodeError, text_format.ParseError, UnicodeError) as error:
            raise _refused(path, f"has a {name} that is damaged") from error
        except OSError as error:
            raise _refused(path, f"cannot be read ({error.strerror})") from error
        yield saved_model


def _refused(path: pathlib.Path, reason: str) -> RefusedError:
    return RefusedError(
        f"SavedModel: expected the folder of a SavedModel. Received: {path}, which "
        f"{reason}. Export it by tf.saved_model.save."
    )
