"""Devices, the speed of the fastest, and a sum over two processes of this host."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from kerascale.diagnostics.doctor import processes
from kerascale.diagnostics.doctor.findings import Finding
from kerascale.launch.environment import make_environments, visible_gpus

_INSTALL_CUDA = "pip install 'kerascale[and-cuda]'"


def look_at_devices(limit_seconds: float) -> list[Finding]:
    """What TensorFlow sees, by asking it in a process of its own.

    Args:
        limit_seconds: How long it may take.
    """
    (ended,) = processes.run(
        "kerascale.diagnostics.doctor.device_worker",
        [processes.environment()],
        limit_seconds,
    )
    results = ended.results
    if "imported" not in results:
        mend = "Install it anew: pip install --force-reinstall tensorflow keras."
        found = f"TensorFlow cannot be imported: {ended.failure}"
        return [Finding("devices", "wrong", found, mend)]
    findings = []
    if results.get("backend", "tensorflow") != "tensorflow":
        found = f"Keras runs on the backend {results['backend']!r}"
        mend = "Set KERAS_BACKEND=tensorflow, or unset it."
        findings.append(Finding("backend", "wrong", found, mend))
    if "devices" not in results:
        mend = "Look at the driver of the device that the message names."
        found = f"TensorFlow found no device: {ended.failure}"
        return [*findings, Finding("devices", "wrong", found, mend)]
    findings += judge_devices(results["devices"], os.environ)
    if "peak" in results:
        text = f"{results['peak'] / 1e9:,.0f} GFLOP/s (float32 matrix product)"
        values = {"flops_per_second": results["peak"]}
        findings.append(Finding("peak", "ok", text, "", values))
    else:
        mend = "A matrix product should take milliseconds. Look at what else runs."
        findings.append(Finding("peak", "wrong", ended.failure, mend))
    return findings


def judge_devices(
    devices: list[Mapping[str, Any]],
    environ: Mapping[str, str],
    files: pathlib.Path = pathlib.Path("/dev"),
) -> list[Finding]:
    """Compares what TensorFlow sees with what the host has.

    Args:
        devices: Type and name of each, as TensorFlow has them.
        environ: Environment variables.
        files: The folder of device files.
    """
    names = [f"{d['type']} {d['name']}".strip() for d in devices]
    gpus = [d for d in devices if d["type"] == "GPU"]
    tpus = [d for d in devices if d["type"] == "TPU"]
    there = visible_gpus(environ, files)
    values = {"devices": list(devices), "gpus_of_host": there}
    if there and not gpus:
        found = f"{', '.join(names)}; the host has {len(there)} GPUs that are not seen"
        mend = (
            f"Install TensorFlow's CUDA libraries ({_INSTALL_CUDA}), and see whether "
            "nvidia-smi finds the driver."
        )
        return [Finding("devices", "wrong", found, mend, values)]
    if environ.get("TPU_NAME") and not tpus:
        found = f"{', '.join(names)}; TPU_NAME={environ['TPU_NAME']}, which is no "
        found += "device of this host"
        mend = "Train with --strategy tpu, which connects to it; or unset TPU_NAME."
        return [Finding("devices", "warning", found, mend, values)]
    chips = sorted(p.name for p in files.glob("accel*")) if files.is_dir() else []
    if chips and not tpus:
        found = f"{', '.join(names)}; the host has TPU chips that are not seen"
        mend = "Install TensorFlow's TPU build, and train with --tpu local."
        return [Finding("devices", "wrong", found, mend, values)]
    hidden = "" if gpus or tpus else "; no GPU, no TPU"
    return [Finding("devices", "ok", f"{', '.join(names)}{hidden}", "", values)]


def look_at_collective(limit_seconds: float) -> list[Finding]:
    """Adds up a vector over two processes, as training on several workers does.

    Args:
        limit_seconds: How long it may take.
    """
    environ = processes.environment(CUDA_VISIBLE_DEVICES="-1")
    environments = make_environments(environ, workers=2, devices_per_worker=1)
    ended = processes.run(
        "kerascale.diagnostics.doctor.collective_worker", environments, limit_seconds
    )
    mend = (
        "Training on several workers will fail like this. Look at firewalls, proxies "
        "(http_proxy, no_proxy) and the loopback interface."
    )
    failed = [f"worker {i}: {e.failure}" for i, e in enumerate(ended) if e.failure]
    if failed:
        return [Finding("collective", "wrong", "; ".join(failed), mend)]
    if not all(each.results.get("right") for each in ended):
        found = "two processes added up a vector, and the sum is wrong"
        return [Finding("collective", "wrong", found, mend)]
    seconds = max(each.results["seconds"] for each in ended)
    size = ended[0].results["bytes"]
    text = (
        f"two processes of this host add up {size / 2**20:g} MiB in "
        f"{seconds * 1000:.1f} ms"
    )
    values = {"seconds": seconds, "bytes": size}
    return [Finding("collective", "ok", text, "", values)]
