"""kerascale: large-scale training on Keras 3 and TensorFlow.

Importing it does not import TensorFlow; a name that needs TensorFlow does. It sets what
makes TensorFlow faster here, if it is imported first: see
`kerascale.runtime.tf_environment`.
"""

import importlib
import pathlib
from typing import Any

from kerascale._version import __version__
from kerascale.runtime import garbage, tf_environment

tf_environment.prepare()
garbage.none_in_imports()

# In a bare checkout `recipes/` and `data/` stand beside this folder; an
# installed package has them inside it (package_dir in setup.cfg).
_checkout = pathlib.Path(__file__).resolve().parent.parent
if (_checkout / "recipes" / "mlp.py").is_file():
    __path__.append(str(_checkout))

# Public name -> module that has it. None: the name is a module itself.
_PUBLIC: dict[str, str | None] = {
    "Model": "kerascale.engine.model",
    "NonFiniteError": "kerascale.errors",
    "RefusedError": "kerascale.errors",
    "Run": "kerascale.runs.run",
    "TrainingConfig": "kerascale.config",
    "attack": "kerascale.trust.attacks.attack",
    "audit": "kerascale.trust.auditing.audit_run",
    "callbacks": None,
    "card": "kerascale.trust.model_card.card_run",
    "check_card": "kerascale.trust.model_card.card_run",
    "check_gradients": "kerascale.trust.gradients",
    "config": None,
    "datasets": None,
    "estimate": "kerascale.diagnostics.estimate.estimate",
    "explain": "kerascale.trust.explanation.explaining",
    "export_saved_model": "kerascale.serving",
    "federated": "kerascale.trust.federated.server",
    "layers": None,
    "load_backbone": "kerascale.runs.backbones",
    "load_recipe": "kerascale.config.recipes",
    "load_run": "kerascale.runs.run",
    "models": None,
    "ops": None,
    "optimizers": None,
    "recipe_names": "kerascale.config.recipes",
    "scale": "kerascale.engine.scaling",
    "sign": "kerascale.trust.signing.sign_folders",
    "strategies": None,
    "train": "kerascale.training.train",
    "verify": "kerascale.diagnostics.verify",
    "verify_signature": "kerascale.trust.signing.sign_folders",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kerascale' has no attribute {name!r}")
    module = _PUBLIC[name]
    if module is None:
        return importlib.import_module(f"kerascale.{name}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
