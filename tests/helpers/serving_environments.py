"""Environments of other people's runtimes, made once under a cache folder.

They are small and take a minute. `KERASCALE_TEST_ENVIRONMENTS` names another folder.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import venv

import filelock
import platformdirs

# Without TensorFlow: what a client of another make has.
RUNTIMES = (
    "numpy",
    "openvino==2026.4.1",
    "onnxruntime==1.32.0",
    "ai-edge-litert==2.3.0",
)
# On top of this environment: what kerascale[onnx] and kerascale[litert] bring.
CONVERTERS = ("tf2onnx==1.17.0", "onnxruntime==1.32.0", "ai-edge-litert==2.3.0")
# The same for kerascale[compress].
COMPRESS = (*CONVERTERS, "ai-edge-quantizer==0.10.0", "onnx_ir==1.1.0")

# TF Serving's own messages; without its TensorFlow, which is that of this environment.
SERVING_API = ("--no-deps", "tensorflow-serving-api==2.21.0")


def get(name: str, requirements: tuple[str, ...], *, on_top: bool = False) -> str:
    """The Python of an environment: made if it is not there, else used again.

    Args:
        name: What to call it.
        requirements: What pip installs.
        on_top: Whether it has the packages of this process's environment too.
    """
    own = sysconfig.get_path("purelib") if on_top else None
    key = json.dumps([sys.version, own, *requirements])
    folder = _cache() / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / "ready").exists():
            venv.create(folder, with_pip=True, clear=True)
            if own is not None:
                packages = next((folder / "lib").glob("python*/site-packages"))
                (packages / "below.pth").write_text(f"{own}\n")
            pip = [python, "-m", "pip", "install", "--quiet", *requirements]
            subprocess.run(pip, check=True, capture_output=True, text=True)
            (folder / "ready").touch()  # Last: what has it is whole.
    return str(python)


def _cache() -> pathlib.Path:
    chosen = os.environ.get("KERASCALE_TEST_ENVIRONMENTS")
    return pathlib.Path(chosen or platformdirs.user_cache_path("kerascale") / "tests")
