"""What a model's config.json, written by somebody else, may name."""

from collections.abc import Container, Iterator
from typing import Any

# They run code that the file brings, or read another file of its choice.
_UNSAFE_CLASSES = frozenset(
    {
        "Lambda",
        "__lambda__",
        "FlaxLayer",
        "JaxLayer",
        "TFSMLayer",
        "TorchModuleWrapper",
    }
)
# Of Keras' public names: what models are made of. Not utils, saving, config, ..., whose
# functions write files, fetch them from the network, or turn the safe mode off.
_KERAS = frozenset(
    {
        "activations",
        "constraints",
        "dtype_policies",
        "initializers",
        "layers",
        "losses",
        "metrics",
        "mixed_precision",
        "models",
        "ops",
        "optimizers",
        "quantizers",
        "random",
        "regularizers",
        # Where Keras takes layers, operations and the like alone.
        "src",
    }
)
# Their functions load and save; their classes are models.
_CLASSES_ONLY = frozenset({"keras", "keras.models"})
# The second is how a recipe's file is called as a module.
_OURS = ("kerascale.", "kerascale_file_")
_MOST_SHOWN = 10


def problems(config: Any, registered: Container[str] = ()) -> list[str]:
    """What a model's configuration must not hold.

    Args:
        config: What the JSON says.
        registered: The names under which this process has registered classes and
            functions with Keras; what has such a name is its own code already.

    Returns:
        Why it is refused, each reason once; empty if it is not.
    """
    found: dict[str, None] = {}
    for item in _dicts(config):
        for reason in _reasons(item, registered):
            found[reason] = None
    shown = list(found)
    if len(shown) > _MOST_SHOWN:
        shown[_MOST_SHOWN:] = [f"and {len(shown) - _MOST_SHOWN} more"]
    return shown


def _dicts(config: Any) -> Iterator[dict[str, Any]]:
    # A stack of our own: the depth is in somebody else's hands.
    stack = [config]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _reasons(item: dict[str, Any], registered: Container[str]) -> Iterator[str]:
    for key in ("class_name", "registered_name"):
        name = item.get(key)
        # `package>Name` and `module.Name` are the same to Keras at times.
        if isinstance(name, str) and _last(name) in _UNSAFE_CLASSES:
            yield f"{key} {name!r:.80}, which runs code or reads files of its choice"
    # How Keras 2 marked a lambda, and Keras 3 marks the parts of one.
    for key in ("function_type", "output_shape_type", "mask_type"):
        if item.get(key) == "lambda":
            yield f"{key} 'lambda', which is code"
    if isinstance(item.get("vocabulary"), str):
        yield f"a vocabulary in another file: {item['vocabulary']!r:.80}"
    module = item.get("module")
    if isinstance(module, str) and not _is_known(item, registered):
        name = _named(item)
        if not _is_allowed(module, name, item.get("class_name") == "function"):
            yield f"module {module!r:.80} (for {name!r:.80})"
    elif module is not None and not isinstance(module, str) and "class_name" in item:
        yield f"a module that is no text: {module!r:.80}"


def _is_allowed(module: str, name: Any, is_function: bool) -> bool:
    if module == "builtins":
        # How Keras writes the name of a function: it looks for it among its own
        # activations, losses, ... and never among Python's.
        return is_function
    if module == "kerascale" or module.startswith(_OURS):
        return True
    if module in _CLASSES_ONLY:
        return not is_function and isinstance(name, str) and name[:1].isupper()
    parts = module.split(".")
    return parts[0] == "keras" and len(parts) > 1 and parts[1] in _KERAS


def _is_known(item: dict[str, Any], registered: Container[str]) -> bool:
    """Whether Keras takes an object of this process, whatever the module says."""
    if item.get("class_name") == "function":
        name = item.get("config")
    else:
        name = item.get("registered_name", item.get("class_name"))
    return isinstance(name, str) and name in registered


def _named(item: dict[str, Any]) -> Any:
    if item.get("class_name") == "function":
        return item.get("config")
    return item.get("class_name")


def _last(name: str) -> str:
    return name.rpartition(">")[2].rpartition(".")[2]
