"""Which part of a SavedModel's graph is its saver: run to save it, and never else."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

# The names under which TensorFlow 1 kept what runs when a model is loaded.
_RUN_ON_LOADING = ("legacy_init_op", "saved_model_main_op")


def saver_nodes(meta_graph: Any) -> set[str]:
    """Nodes that saving needs, and neither a signature nor loading does."""
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    saving = _needed(nodes, [meta_graph.saver_def.save_tensor_name])
    return saving - _needed(nodes, _starts(meta_graph))


def saver_functions(meta_graph: Any) -> set[str]:
    """Functions that only one such node calls, once.

    A function that is known to the object graph is none: it can be called as an
    attribute of the loaded model.
    """
    own_nodes = saver_nodes(meta_graph)
    calls, own = Counter(), set()
    for node in meta_graph.graph_def.node:
        called = _called(node)
        calls.update(called)
        if node.name in own_nodes:
            own.update(called)
    for function in meta_graph.graph_def.library.function:
        for node in function.node_def:
            calls.update(_called(node))
    public = set(meta_graph.object_graph_def.concrete_functions)
    for thing in meta_graph.object_graph_def.nodes:
        public.update(thing.function.concrete_functions)
        public.add(thing.bare_concrete_function.concrete_function_name)
    return {name for name in own if calls[name] == 1} - public


def _starts(meta_graph: Any) -> list[str]:
    """Tensors and nodes that loading or an answer runs."""
    starts = [meta_graph.saver_def.restore_op_name]
    for signature in meta_graph.signature_def.values():
        starts += [tensor.name for tensor in signature.outputs.values()]
    for name in _RUN_ON_LOADING:
        if name in meta_graph.collection_def:
            starts += meta_graph.collection_def[name].node_list.value
    return starts


def _needed(nodes: dict[str, Any], names: Iterable[str]) -> set[str]:
    """These nodes, and those whose values or whose end they wait for."""
    found, stack = set(), [_node_name(name) for name in names]
    while stack:
        name = stack.pop()
        if name in nodes and name not in found:
            found.add(name)
            stack += [_node_name(source) for source in nodes[name].input]
    return found


def _node_name(tensor: str) -> str:
    """`^name` is a control input, `name:0` a tensor."""
    return tensor.removeprefix("^").partition(":")[0]


def _called(node: Any) -> list[str]:
    # One whose operation has the name of a function calls it, too.
    found = [node.op]
    for value in node.attr.values():
        if value.HasField("func"):
            found.append(value.func.name)
        found += [function.name for function in value.list.func]
    return found
