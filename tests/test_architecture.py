"""The house stays as designed: arrows point down, public names are listed."""

import ast
import pathlib

import kerascale

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "kerascale"

# From the top down: each room imports from itself and from those below it.
ROOMS = [
    "cli",
    "tuning",
    "compression",
    "trust",
    "diagnostics",
    "reporting",
    "training",
    "serving",
    "launch",
    "callbacks",
    "runs",
    "models",
    "layers",
    "optimizers",
    "ops",
    "engine",
    "strategies",
    "datasets",
    "runtime",
    "config",
]
# The same inside of the engine; those that are no room are files.
ENGINE = [
    "scaling",
    "model",
    "mesh",
    "copies",
    "execution",
    "weights_file",
    "state",
    "parity",
    "step",
    "data",
    "collectives",
    "compat",
]
# Below all rooms.
LOOSE = {"__init__", "__main__", "_version", "errors"}


def _imports(path):
    """(module, line) of every import, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                if node.module.startswith("kerascale") and _is_module(module):
                    yield module, node.lineno
                else:
                    yield node.module, node.lineno


def _is_module(name):
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _upward(folder, order):
    """Every import of a room from one that stands above it."""
    rank = {name: rank for rank, name in enumerate(reversed(order))}
    prefix = (*folder.relative_to(ROOT).parts,)
    for path in folder.rglob("*.py"):
        own = path.relative_to(folder).with_suffix("").parts[0]
        if own not in rank:
            continue
        for module, line in _imports(path):
            parts = tuple(module.split("."))
            if parts[: len(prefix)] != prefix or len(parts) == len(prefix):
                continue
            other = parts[len(prefix)]
            if other in rank and rank[other] > rank[own]:
                yield f"{path.relative_to(ROOT)}:{line} imports {module}"


def test_every_module_has_a_room():
    files = {path.stem for path in PACKAGE.glob("*.py")}
    assert files == LOOSE
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(ROOMS)
    inside = {p.stem for p in (PACKAGE / "engine").glob("*.py")} - {"__init__"}
    inside |= {p.parent.name for p in (PACKAGE / "engine").glob("*/__init__.py")}
    assert inside == set(ENGINE)


def test_arrows_only_point_down():
    assert not list(_upward(PACKAGE, ROOMS))


def test_arrows_inside_the_engine_only_point_down():
    assert not list(_upward(PACKAGE / "engine", ENGINE))


def test_only_recipes_by_name_are_loaded():
    wrong = [
        f"{path.name}:{line} imports {module}"
        for path in PACKAGE.rglob("*.py")
        for module, line in _imports(path)
        if module and module.startswith("kerascale.recipes")
    ]
    assert not wrong


def test_recipes_use_public_names_only():
    allowed = {"__future__", "dataclasses", "typing", "keras", "kerascale"}
    for path in (ROOT / "recipes").glob("*.py"):
        modules = {module for module, _ in _imports(path)}
        assert modules <= allowed | {"kerascale.config"}, path.name


def test_nothing_is_imported_from_keras_internals():
    """What the engine needs of them stands in `engine/compat/` alone."""
    wrong = [
        f"{path}:{line} imports {module}"
        for folder in (PACKAGE, ROOT / "recipes", ROOT / "data")
        for path in folder.rglob("*.py")
        for module, line in _imports(path)
        if module
        and (module.startswith(("keras.src", "tensorflow.python")))
        and path.parent != PACKAGE / "engine" / "compat"
    ]
    assert not wrong


def test_public_names():
    assert kerascale.__all__ == [
        "__version__",
        "Model",
        "NonFiniteError",
        "RefusedError",
        "Run",
        "TrainingConfig",
        "attack",
        "audit",
        "callbacks",
        "card",
        "check_card",
        "check_gradients",
        "config",
        "datasets",
        "estimate",
        "explain",
        "export_saved_model",
        "federated",
        "layers",
        "load_backbone",
        "load_recipe",
        "load_run",
        "models",
        "ops",
        "optimizers",
        "recipe_names",
        "scale",
        "sign",
        "strategies",
        "train",
        "verify",
        "verify_signature",
    ]
    for name in kerascale.__all__:
        assert getattr(kerascale, name) is not None


def test_files_in_git_are_small():
    large = [
        path.name
        for folder in ("kerascale", "recipes", "data", "tests", "docs", "findings")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.stat().st_size > 1_000_000
    ]
    assert not large
