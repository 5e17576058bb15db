"""The processor: its model, its vector units, and how many threads compute on it."""

import os
import platform
from collections.abc import Mapping

from kerascale.diagnostics.doctor import cgroup
from kerascale.diagnostics.doctor.findings import Finding
from kerascale.runtime import host, tf_environment, xla_cache
from kerascale.runtime.host import usable_cores

# A flag of /proc/cpuinfo -> what people call it.
_FEATURES = {
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_tile": "AMX",
    "amx_bf16": "AMX BF16",
}


def look(cpuinfo: str | None = None) -> list[Finding]:
    """Names the processor and what TensorFlow's kernels make use of.

    Args:
        cpuinfo: The content of `/proc/cpuinfo`; None: that of this machine.
    """
    cpuinfo = host.cpuinfo() if cpuinfo is None else cpuinfo
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    model = fields.get("model name") or platform.processor() or platform.machine()
    flags = set(fields.get("flags", "").split())
    has = [name for flag, name in _FEATURES.items() if flag in flags]
    values = {"model": model, "features": has}
    if flags and "avx2" not in flags:
        return [
            Finding(
                "processor",
                "warning",
                f"{model}, without AVX2",
                "Matrix products will be several times slower than on a processor "
                "with it. In a virtual machine, pass the host's processor through.",
                values,
            )
        ]
    listed = f" ({', '.join(has)})" if has else ""
    return [Finding("processor", "ok", f"{model}{listed}", "", values)]


def look_at_kernels(
    environ: Mapping[str, str] = os.environ, flags: frozenset[str] | None = None
) -> list[Finding]:
    """Whether TensorFlow takes the kernels that are faster on this processor.

    Args:
        environ: Environment variables.
        flags: The processor's features; None: those of this machine.
    """
    gains = tf_environment.gains_by_onednn(
        tf_environment.cpu_flags() if flags is None else flags
    )
    setting = environ.get(tf_environment.ONEDNN, "").strip()
    keeps = xla_cache.is_announced(environ)
    values = {tf_environment.ONEDNN: setting or None, "gains": gains, "programs": keeps}
    kernels = (
        f"oneDNN as you have set it ({tf_environment.ONEDNN}={setting})"
        if setting
        else ""
    )
    if gains and setting.lower() in ("", "0", "false"):
        kernels = (
            "oneDNN's are off, which are faster for convolutions on this processor: "
            f"set {tf_environment.ONEDNN}=1 where a run that is interrupted need not "
            "have the last bits of one that is not"
        )
    kept = "kept" if keeps else "not kept"
    found = f"{kernels or 'as TensorFlow chooses'}; compiled programs of XLA are {kept}"
    return [Finding("kernels", "ok", found, "", values)]


def look_at_threads(
    environ: Mapping[str, str] = os.environ,
    cores: int | None = None,
    quota: float | None = None,
) -> list[Finding]:
    """Compares the threads that will compute with the cores that there are.

    Args:
        environ: Environment variables.
        cores: Cores that this process may run on; None: those of this machine.
        quota: Cores that the container may use at a time; None: as it is told here.
    """
    if cores is None:
        cores = usable_cores()
        quota = cgroup.cpu_quota() if quota is None else quota
    values = {"cores": cores, "quota": quota}
    findings = []
    usable = cores
    if quota is not None and quota < cores:
        usable = max(1, int(quota))
        if "TF_NUM_INTRAOP_THREADS" not in environ:
            findings.append(
                Finding(
                    "threads",
                    "warning",
                    f"{cores} cores are visible, and the container may use {quota:g}: "
                    f"{cores} threads will wait for each other",
                    f"Set TF_NUM_INTRAOP_THREADS={usable}.",
                    values,
                )
            )
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        findings += _judged(name, environ.get(name), usable)
    if not findings:
        limit = "" if quota is None else f", a quota of {quota:g}"
        text = f"{cores} cores{limit}; one thread for each"
        findings.append(Finding("threads", "ok", text, "", values))
    return findings


def _judged(name: str, text: str | None, usable: int) -> list[Finding]:
    if not text:
        return []
    values = {"variable": name, "value": text, "usable_cores": usable}
    # OpenMP takes a list, one number for each level of nesting.
    first = text.split(",")[0].strip()
    if not first.isdecimal():
        found = f"{name}: expected a whole number. Received: {text!r:.80}"
        return [Finding("threads", "wrong", found, f"Unset {name}.", values)]
    count = int(first)
    if count == 0 and name != "OMP_NUM_THREADS":  # TensorFlow's own choice.
        return []
    if name == "TF_NUM_INTEROP_THREADS":
        return []
    if count < usable:
        who = (
            "NumPy and other libraries that go by it compute"
            if name == "OMP_NUM_THREADS"
            else "TensorFlow computes"
        )
        return [
            Finding(
                "threads",
                "warning",
                f"{name}={text}: {who} on {count} of {usable} cores",
                f"Unset {name}, or set it to {usable}; keep it where several processes "
                "share this host.",
                values,
            )
        ]
    if count > usable:
        return [
            Finding(
                "threads",
                "warning",
                f"{name}={text}: more threads than the {usable} cores that can be used",
                f"Unset {name}, or set it to {usable}.",
                values,
            )
        ]
    return []
