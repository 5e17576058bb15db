"""The house stays as designed: arrows point down, public names are listed."""

import ast
import pathlib

import kerascale

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "kerascale"

# Each layer may import from itself and from those below (design: "Layers").
LAYERS = [
    {"cli", "__main__"},
    {"training", "launch", "verification", "chaos", "doctor", "reporting", "bench"},
    {
        "executing",
        "finishing",
        "measuring",
        "rehearsal",
        "resumable_fit",
        "reopening",
        "resuming",
    },
    {"assembly", "prediction", "serving", "initial_weights"},
    {"runs", "run_files", "run_folder", "timeline"},
    {"evaluation", "callbacks", "checkpoint", "throughput"},
    {"learning_rates", "models", "optimizers"},
    {"engine", "layers", "constraints", "strategies", "datasets"},
    {"registry", "offers", "cluster", "origins"},
    {"config"},
    {"fields"},
    {"stopping", "monitoring"},
    {"process"},
    {"allocator", "programs"},
    {
        "errors",
        "cache_folder",
        "cores",
        "console",
        "heartbeat",
        "loss_record",
        "_version",
    },
    {"foreign", "same_host"},
    {"screen"},
    {"live_view"},
]
RANK = {name: rank for rank, layer in enumerate(reversed(LAYERS)) for name in layer}


def _imports(path):
    """(module, line) of every import, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module == "kerascale":
                yield from ((f"kerascale.{a.name}", node.lineno) for a in node.names)
            else:
                yield node.module, node.lineno


def test_every_module_has_a_layer():
    found = {path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    found |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert found == set(RANK)


def test_arrows_only_point_down():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts == ("__init__",):
            continue
        for module, line in _imports(path):
            if module and module.startswith("kerascale."):
                target = module.split(".")[1]
                if target in ("data", "recipes"):
                    continue
                if RANK[target] > RANK[parts[0]]:
                    wrong.append(f"{path.name}:{line} imports {module}")
    assert not wrong


def test_only_the_registry_loads_recipes():
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
    wrong = [
        f"{path}:{line} imports {module}"
        for folder in (PACKAGE, ROOT / "recipes", ROOT / "data")
        for path in folder.rglob("*.py")
        for module, line in _imports(path)
        if module
        and (module.startswith(("keras.src", "tensorflow.python")))
        and path != PACKAGE / "engine" / "private_keras.py"
    ]
    # What the engine needs of them goes into engine/private_keras.py alone.
    assert not wrong


def test_public_names():
    assert kerascale.__all__ == [
        "__version__",
        "Model",
        "NonFiniteError",
        "RefusedError",
        "Run",
        "TrainingConfig",
        "callbacks",
        "config",
        "datasets",
        "export_saved_model",
        "layers",
        "load_recipe",
        "load_run",
        "models",
        "optimizers",
        "recipe_names",
        "scale",
        "strategies",
        "train",
        "verify",
    ]
    for name in kerascale.__all__:
        assert getattr(kerascale, name) is not None


def test_files_in_git_are_small():
    large = [
        path.name
        for folder in ("kerascale", "recipes", "data", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.stat().st_size > 1_000_000
    ]
    assert not large
