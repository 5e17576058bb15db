"""Which recipes have a name: found without importing any package that has them."""

import ast
import dataclasses
import importlib.machinery
import importlib.metadata
import pathlib
import re
import sys
import warnings

from kerascale.config.fields import nearest
from kerascale.errors import RefusedError

ENTRY_POINT_GROUP = "kerascale.recipes"
_OWN_PACKAGE = "kerascale.recipes"
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)


@dataclasses.dataclass(frozen=True)
class _Offer:
    """What a name leads to: a module and its file, or the reason why to none."""

    dotted: str = ""
    path: pathlib.Path | None = None
    problem: str | None = None


def first_lines() -> dict[str, str]:
    """Every name, ours first, each group sorted.

    Returns:
        Name -> first line of the recipe's docstring; or in brackets why the name
        leads to no recipe, or to several.
    """
    lines = {name: _first_line(offer.path) for name, offer in _ours().items()}
    for name, offers in sorted(_others().items()):
        lines.setdefault(name, _describe(offers))
    return lines


def _describe(offers: list[_Offer]) -> str:
    recipes = _recipes(offers)
    if not recipes:
        return f"(cannot be read: {offers[0].problem})"
    if len(recipes) > 1:
        return f"(several: {' and '.join(r.dotted for r in recipes)})"
    return _first_line(recipes[0].path)


def module_of(name: str) -> str:
    """The dotted name of the module that a recipe's name stands for.

    Raises:
        RefusedError: If the name leads to no recipe, or to several.
    """
    ours = _ours()
    if name in ours:  # Then nothing of other packages is looked at.
        return ours[name].dotted
    others = _others()
    offers = others.get(name, [])
    recipes = _recipes(offers)
    if len(recipes) == 1:
        return recipes[0].dotted
    if recipes:
        raise RefusedError(
            f"recipe: expected a name that one package offers. Received: {name!r}, "
            f"which is {' and '.join(r.dotted for r in recipes)}. Give one of these "
            "names."
        )
    if offers:
        raise RefusedError(
            f"recipe: {name!r} cannot be loaded ({offers[0].problem}). Mend or "
            f"uninstall the package that has it as an entry point {ENTRY_POINT_GROUP}."
        )
    names = [*ours, *sorted(name for name, found in others.items() if _recipes(found))]
    raise RefusedError(
        f"recipe: no recipe has the name {name!r}.{nearest(name, names)} There are: "
        f"{', '.join(names)}."
    )


def _recipes(offers: list[_Offer]) -> list[_Offer]:
    return [offer for offer in offers if offer.problem is None]


def _ours() -> dict[str, _Offer]:
    return _modules_of(_OWN_PACKAGE)


def _others() -> dict[str, list[_Offer]]:
    """Name -> what installed packages offer under it."""
    found: dict[str, dict[str, _Offer]] = {}
    for name, value in _entry_points():
        try:
            modules = _modules_of_entry_point(name, value)
        except Exception as error:  # Whatever an import finder raises.
            modules = {name: _Offer(problem=str(error) or type(error).__name__)}
        for module, offer in modules.items():
            # An installation that is found twice offers everything twice.
            found.setdefault(module, {})[offer.dotted] = offer
    return {
        name: [offers[dotted] for dotted in sorted(offers)]
        for name, offers in found.items()
    }


def _entry_points() -> list[tuple[str, str]]:
    found = []
    for distribution in importlib.metadata.distributions():
        try:
            group = distribution.entry_points.select(group=ENTRY_POINT_GROUP)
        except Exception:
            continue  # Nobody can tell of which groups its entry points are.
        found += [(point.name, point.value) for point in group]
    return [(name, value) for name, value in found if value != _OWN_PACKAGE]


def _modules_of_entry_point(name: str, value: str) -> dict[str, _Offer]:
    received = f"Received the entry point {name} = {value}"
    if not _MODULE.fullmatch(value):
        raise LookupError(f"expected a package or a module. {received}")
    modules = _modules_of(value, name)
    if not modules:
        raise LookupError(f"expected a package with recipes in it. {received}")
    if not all(_IDENTIFIER.fullmatch(module) for module in modules):
        raise LookupError(f"expected a name of letters, digits and _. {received}")
    return modules


def _modules_of(package: str, name: str | None = None) -> dict[str, _Offer]:
    """The recipes of a package; or the one module that `package` turns out to be."""
    spec = _find_spec(package)
    if spec.submodule_search_locations is None:
        if not spec.has_location:
            raise LookupError(f"the module {package} has no file")
        path = pathlib.Path(spec.origin)
        return {name or package.rpartition(".")[2]: _Offer(package, path)}
    found: dict[str, _Offer] = {}
    for folder in spec.submodule_search_locations:
        for path in sorted(pathlib.Path(folder).glob("*.py")):
            if _IDENTIFIER.fullmatch(path.stem):
                found.setdefault(path.stem, _Offer(f"{package}.{path.stem}", path))
    return found


def _find_spec(dotted: str) -> importlib.machinery.ModuleSpec:
    """`importlib.util.find_spec`, which imports the parent packages, without that."""
    folders, prefix = None, ""
    for part in dotted.split("."):
        prefix = f"{prefix}.{part}".removeprefix(".")
        spec = _ask_finders(prefix, folders)
        if spec is None:
            raise LookupError(f"no module has the name {prefix}")
        # A package that is imported already may look in other places, as ours does.
        found = getattr(sys.modules.get(prefix), "__path__", None)
        folders = list(found or spec.submodule_search_locations or ())
    return spec


def _ask_finders(
    name: str, folders: list[str] | None
) -> importlib.machinery.ModuleSpec | None:
    for finder in sys.meta_path:
        if not hasattr(finder, "find_spec"):
            continue  # The import system passes over it, too.
        try:
            spec = finder.find_spec(name, folders)
        except KeyError:
            # A package without an __init__.py wants its parent to be imported.
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            last = name.rpartition(".")[2]
            spec.submodule_search_locations += [
                str(pathlib.Path(folder, last)) for folder in folders or ()
            ]
        if spec is not None:
            return spec
    return None


def _first_line(path: pathlib.Path) -> str:
    """The first line of a module's docstring, read from its source."""
    try:
        with warnings.catch_warnings(action="ignore"):  # About another's source.
            doc = ast.get_docstring(ast.parse(path.read_bytes()))
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        return f"(cannot be read: {error})"
    return doc.splitlines()[0] if doc else "(no docstring)"
