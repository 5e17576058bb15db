"""Recipes by name: ours, those of installed packages, a dotted name, or a file."""

import dataclasses
import importlib
import importlib.machinery
import importlib.util
import pathlib
import re
import sys
import types
import zlib
from collections.abc import Callable
from typing import Any

from kerascale.config import discovery
from kerascale.errors import RefusedError

_REQUIRED = ("Config", "make_datasets", "make_model")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+", re.ASCII)
# Stand-ins until a name of theirs is used, so that `show` and `--help` are fast.
_SLOW_MODULES = ("keras", "tensorflow")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A recipe module, loaded and checked.

    Args:
        name: Its module's last name.
        source: What `load_recipe` takes to load it again in another process.
        module: The module.
    """

    name: str
    source: str
    module: types.ModuleType

    @property
    def Config(self) -> type:
        """The recipe's configuration class."""
        return self.module.Config

    @property
    def make_datasets(self) -> Callable[..., Any]:
        return self.module.make_datasets

    @property
    def make_model(self) -> Callable[..., Any]:
        return self.module.make_model

    @property
    def make_callbacks(self) -> Callable[..., Any] | None:
        return getattr(self.module, "make_callbacks", None)

    @property
    def search(self) -> tuple[str, ...]:
        """What a search looks at if nobody says, as `--field` takes it."""
        return tuple(getattr(self.module, "SEARCH", ()))

    @property
    def doc(self) -> str:
        return self.module.__doc__ or ""


def recipe_names() -> dict[str, str]:
    """Every recipe that has a name. None is imported, nor is the package it is in.

    Returns:
        Name -> first line of its docstring, ours first, each group sorted. An entry
        point that leads to no recipe is there, too, with the reason in brackets.
    """
    return discovery.first_lines()


def load_recipe(name: str | Recipe | types.ModuleType) -> Recipe:
    """Loads a recipe.

    Args:
        name: A recipe's name (`mlp`), a dotted module name (`my_package.mine`), a
            path to a Python file (`./mine.py`), or a module.

    Returns:
        The recipe. Keras and TensorFlow are imported when a name of theirs is used.

    Raises:
        RefusedError: If there is no such recipe, or it lacks a required name.
    """
    if isinstance(name, Recipe):
        return name
    if isinstance(name, types.ModuleType):
        return _checked(Recipe(_last_name(name), name.__name__, name))
    if not isinstance(name, str):
        raise RefusedError(
            "recipe: expected a name, a path or a module. "
            f"Received: {name!r} (of type {type(name).__name__})."
        )
    if name.endswith(".py"):
        return _load_file(name)
    if _DOTTED.fullmatch(name):
        return _load_dotted(name, source=name)
    if not _NAME.fullmatch(name):
        raise RefusedError(
            "recipe: expected a name such as mlp, a dotted module name, or a path "
            f"that ends in .py. Received: {name!r}."
        )
    return _load_dotted(discovery.module_of(name), source=name)


def _load_dotted(dotted: str, *, source: str) -> Recipe:
    with _SlowModulesLater():
        try:
            module = importlib.import_module(dotted)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{dotted}.".startswith(f"{error.name}."):
                raise  # The recipe was found; something that it imports was not.
            raise RefusedError(
                f"recipe: no module has the name {dotted!r} ({error}). Install its "
                "package, or give a path that ends in .py."
            ) from error
    return _checked(Recipe(_last_name(module), source, module))


def _load_file(name: str) -> Recipe:
    path = pathlib.Path(name)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # A NUL byte, or a name that is too long.
        is_file = False
    if not is_file:
        raise RefusedError(
            f"recipe: expected a path to a Python file. Received: {name!r}, which is "
            "not a file."
        )
    path = path.resolve()
    stat = path.stat()
    # One file is one module: an object of its Config is known when it comes back.
    key = (str(path), stat.st_mtime_ns, stat.st_size)
    if key not in _loaded_files:
        _loaded_files[key] = _execute(path)
    return _loaded_files[key]


_loaded_files: dict[tuple[str, int, int], Recipe] = {}


def _execute(path: pathlib.Path) -> Recipe:
    # A name of its own: a file called random.py must not hide another module.
    place = zlib.crc32(str(path).encode())
    module_name = f"kerascale_file_{place:08x}.{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(module_name)
    with _SlowModulesLater():
        # Dataclasses and Keras' serialisation look their module up by name.
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            if before is not None:
                sys.modules[module_name] = before
            raise
    return _checked(Recipe(path.stem, str(path), module))


def _last_name(module: types.ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _checked(recipe: Recipe) -> Recipe:
    missing = [name for name in _REQUIRED if not hasattr(recipe.module, name)]
    if missing:
        raise RefusedError(
            f"recipe {recipe.name}: expected a module with {', '.join(_REQUIRED)}. "
            f"Received: {recipe.module.__file__}, which lacks {', '.join(missing)}."
        )
    # A subclass of a dataclass passes for one, and its own fields would be ignored.
    if "__dataclass_fields__" not in getattr(recipe.Config, "__dict__", {}):
        raise RefusedError(
            f"recipe {recipe.name}: expected Config to be a dataclass. Received: "
            f"{recipe.Config!r}. Subclass kerascale.TrainingConfig and decorate it "
            "with @dataclasses.dataclass(frozen=True, kw_only=True)."
        )
    return recipe


class _Later(types.ModuleType):
    """Stands in for a module until a name of it is used.

    The standard library's LazyLoader does the same, but stays in `sys.modules`,
    where `inspect` touches every module and so loads it.
    """

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


class _SlowModulesLater:
    """Lets `import keras` in a recipe return at once."""

    def __enter__(self) -> None:
        self._stand_ins = []
        for name in _SLOW_MODULES:
            if name not in sys.modules:
                stand_in = sys.modules[name] = _Later(name)
                stand_in.__spec__ = importlib.machinery.ModuleSpec(name, None)
                self._stand_ins.append(stand_in)

    def __exit__(self, *error: object) -> None:
        for stand_in in self._stand_ins:
            if sys.modules.get(stand_in.__name__) is stand_in:
                del sys.modules[stand_in.__name__]
