"""What all workers have found, as one list of findings."""

from collections.abc import Mapping
from typing import Any

from kerascale.diagnostics.doctor.findings import Finding

# Behind which files of another host seem to come from the future.
_CLOCK_SECONDS = 2.0
_LATE_SECONDS = 1.0
_LITTLE_BYTES = 2**30


def reach(workers: tuple[str, ...], pushed: Mapping[int, Any]) -> list[Finding]:
    """Whether each worker reaches each other one, and their clocks."""
    wrong = []
    for rank, address in enumerate(workers):
        if rank not in pushed:
            wrong.append(f"worker {rank} ({address}) did not reach worker 0")
            continue
        cut = [int(r) for r, told in pushed[rank]["reached"].items() if told is None]
        wrong += [
            f"worker {rank} does not reach worker {r} at {workers[r]}" for r in cut
        ]
    num = len(workers)
    if wrong:
        mend = "Start that worker, open its port in the firewall, or mend its name."
        return [Finding("reach", "wrong", each, mend) for each in wrong]
    trips = [t["round_trip"] for p in pushed.values() for t in p["reached"].values()]
    slowest = max(trips, default=0.0)
    text = f"all {num * (num - 1)} ways between {num} workers"
    values = {"slowest_seconds": slowest}
    text += f", at most {slowest * 1000:.1f} ms"
    return [Finding("reach", "ok", text, "", values)]


def clocks(pushed: Mapping[int, Any]) -> list[Finding]:
    """By how much clocks differ from that of the first worker that was asked."""
    differences = {
        (int(rank), int(other)): told["offset"]
        for rank, each in pushed.items()
        for other, told in each["reached"].items()
        if told is not None and abs(told["offset"]) > told["round_trip"] / 2
    }
    wrong = {p: d for p, d in differences.items() if abs(d) > _CLOCK_SECONDS}
    mend = "Let the hosts keep their clocks by NTP (chronyd, systemd-timesyncd)."
    if wrong:
        # Each pair once.
        return [
            Finding(
                "clocks",
                "wrong",
                f"worker {b} is {abs(d):.1f} s {'ahead of' if d > 0 else 'behind'} "
                f"worker {a}",
                mend,
            )
            for (a, b), d in wrong.items()
            if a < b or (b, a) not in wrong
        ]
    most = max((abs(d) for d in differences.values()), default=0.0)
    return [Finding("clocks", "ok", f"at most {most * 1000:.0f} ms apart")]


def same(pushed: Mapping[int, Any]) -> list[Finding]:
    """Versions, the data and the list of workers, equal on all."""
    named: dict[str, dict[int, str]] = {}
    for rank, each in pushed.items():
        own = each["facts"]
        for name, version in own["versions"].items():
            named.setdefault(name, {})[rank] = version
        named.setdefault("data", {})[rank] = own["sha256"] or "not told"
        named.setdefault("TF_CONFIG", {})[rank] = ",".join(own["workers"])
    mends = {
        "data": "Copy the same data to all hosts, or read it from a shared folder.",
        "TF_CONFIG": "Give all workers the same cluster; only the index differs.",
    }
    findings = []
    for name, values in named.items():
        if len(set(values.values())) == 1:
            value = next(iter(values.values()))
            shown = value[:12] if name == "data" and value != "not told" else value
            if name == "TF_CONFIG":
                shown = f"{value.count(',') + 1} workers, on all alike"
            if (name, value) == ("data", "not told"):
                shown = "not compared (--data PATH)"
            findings.append(Finding(name, "ok", shown))
            continue
        groups: dict[str, list[int]] = {}
        for rank, value in values.items():
            groups.setdefault(value, []).append(rank)
        short = 12 if name == "data" else 60
        found = "; ".join(
            f"{value[:short]} on {_workers(ranks)}" for value, ranks in groups.items()
        )
        mend = mends.get(name, f"Install one version of {name} on all hosts.")
        findings.append(Finding(name, "wrong", f"differs: {found}", mend))
    return findings


def folder(path: str, pushed: Mapping[int, Any]) -> list[Finding]:
    """Whether what one worker renames in the run folder is there for all."""
    wrong, late = [], 0.0
    late_text = ""
    for rank, each in pushed.items():
        own = each.get("folder") or {}
        if own.get("problem"):
            wrong.append(f"worker {rank} cannot write into {path} ({own['problem']})")
        for other, seconds in (own.get("seen") or {}).items():
            if seconds is None:
                wrong.append(f"worker {rank} does not see what worker {other} renames")
            elif seconds > late:
                late = seconds
                late_text = f"worker {rank} sees worker {other}'s"
    if wrong:
        mend = "Name a folder that all hosts share, with --run-dir."
        return [Finding("run folder", "wrong", each, mend) for each in wrong]
    if late > _LATE_SECONDS:
        mend = "Mount it without a cache of names: for NFS lookupcache=none,actimeo=0."
        text = f"shared, but {late_text} file {late:.1f} s late"
        return [Finding("run folder", "wrong", text, mend)]
    return [Finding("run folder", "ok", f"shared; renames are seen in {late:.2f} s")]


def memory(pushed: Mapping[int, Any]) -> list[Finding]:
    """The host that has least left."""
    free = {rank: each["facts"]["free_bytes"] for rank, each in pushed.items()}
    rank = min(free, key=free.get)
    text = f"at least {free[rank] / 2**30:.1f} GiB free (worker {rank})"
    if free[rank] < _LITTLE_BYTES:
        return [Finding("memory", "warning", text, "See kerascale estimate RECIPE.")]
    return [Finding("memory", "ok", text)]


def total(pushed: Mapping[int, Any]) -> list[Finding]:
    """The sum of 40 MB over all workers."""
    failed = [
        Finding(
            "sum of 40 MB",
            "wrong",
            f"worker {rank}: {each['sum'].get('failure') or 'a wrong sum'}",
            "See what the message names; other ports than TF_CONFIG's may be closed.",
        )
        for rank, each in pushed.items()
        if each["sum"].get("failure") or not each["sum"].get("right")
    ]
    if failed:
        return failed
    seconds = max(each["sum"]["seconds"] for each in pushed.values())
    speed = 40e6 / seconds / 1e6
    text = f"{seconds:.3f} s ({speed:,.0f} MB/s)"
    return [Finding("sum of 40 MB", "ok", text, "", {"seconds": seconds})]


def _workers(ranks: list[int]) -> str:
    return ("worker " if len(ranks) == 1 else "workers ") + ", ".join(map(str, ranks))
