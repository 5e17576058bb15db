"""Looks at all hosts of a cluster before anything is trained on them."""

import dataclasses
import os
import pathlib
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kerascale.diagnostics.doctor import processes
from kerascale.diagnostics.doctor.cluster import facts, shared_folder, verdicts
from kerascale.diagnostics.doctor.cluster.meeting import Place
from kerascale.diagnostics.doctor.findings import Finding, Report
from kerascale.errors import RefusedError
from kerascale.strategies import tf_config
from kerascale.strategies.slurm import joining

# Of a file to be there on another host.
_FOLDER_SECONDS = 10.0
_ELEMENTS = 10_000_000
_LEAST_WORKERS = 2


def examine(
    *,
    run_dir: pathlib.Path = pathlib.Path("runs"),
    data: pathlib.Path | None = None,
    quick: bool = False,
    limit_seconds: float = 120.0,
) -> tuple[Report, bool]:
    """Looks at the cluster. Every worker calls it, with `srun` or TF_CONFIG.

    Args:
        run_dir: The run folder, which all should share.
        data: A file or folder whose sha256 should be the same on all; or None.
        quick: Leave out the sum, which needs TensorFlow.
        limit_seconds: How long to wait for the others; and for the sum.

    Returns:
        The findings, on all workers alike, and whether this worker should tell them.

    Raises:
        RefusedError: If this process is no worker of a cluster, or the data cannot be
            read.
    """
    try:
        joining.join(timeout=limit_seconds)
        cluster = tf_config.from_environment()
    except RefusedError as error:
        return Report(tuple(_wrong_config(problem) for problem in error.problems)), True
    if cluster is None or cluster.num_workers < _LEAST_WORKERS:
        raise RefusedError(
            "--cluster: expected a process of a cluster, with TF_CONFIG or in a step "
            "of several tasks. Received: one process. Type it with srun, or on each "
            "host of TF_CONFIG."
        )
    own = facts.of_this_host(data, cluster.workers)
    place = Place(cluster.workers, cluster.index, own)
    until = time.monotonic() + limit_seconds
    try:
        with place.open():
            found, go = _meet(place, own, run_dir, until)
    except OSError as error:
        problem = f"port of {cluster.address} cannot be opened ({error.strerror})"
        return Report((_wrong_config(problem),)), True
    if found is None:
        return _cut_off(place), True
    if not go:
        return found, cluster.is_chief
    token, until = go, time.monotonic() + limit_seconds
    own = {"sum": None if quick else _sum(limit_seconds)}
    with place.open():
        return _conclude(place, found, token, own, until), cluster.is_chief


def _meet(
    place: Place, own: dict[str, Any], run_dir: pathlib.Path, until: float
) -> tuple[Report | None, str]:
    """What is known without TensorFlow; and a token, if the sum is worth trying."""
    half = time.monotonic() + (until - time.monotonic()) / 2
    content = {"facts": own, "reached": place.ask_all(half)}
    answer = _agree(place, "reach", content, half + 1, _first_findings(place))
    if answer is None:
        return None, ""
    found = _report(answer)
    if not answer["token"]:
        return found, ""
    token, ranks = answer["token"], list(range(len(place.workers)))
    problem = shared_folder.write(run_dir, token, place.index)
    seen = shared_folder.look(run_dir, token, ranks, _FOLDER_SECONDS)
    content = {"folder": {"problem": problem, "seen": seen}}

    def judge(pushed: dict[int, Any]) -> dict[str, Any]:
        more = verdicts.folder(str(run_dir), pushed)
        return _answer([*found.findings, *more])

    until = time.monotonic() + _FOLDER_SECONDS + 2
    answer = _agree(place, "folder", content, until, judge)
    shared_folder.remove(run_dir, token, place.index)
    if answer is None:
        return None, ""
    return _report(answer), token


def _first_findings(place: Place) -> Any:
    def judge(pushed: dict[int, Any]) -> dict[str, Any]:
        reach = verdicts.reach(place.workers, pushed)
        findings = [
            *reach,
            *verdicts.clocks(pushed),
            *verdicts.same(pushed),
            *verdicts.memory(pushed),
        ]
        is_whole = all(finding.level == "ok" for finding in reach)
        token = secrets.token_hex(8) if is_whole else ""
        return {**_answer(findings), "token": token}

    return judge


def _answer(findings: Sequence[Finding]) -> dict[str, Any]:
    """Findings, as they are sent."""
    return {"findings": [dataclasses.asdict(finding) for finding in findings]}


def _report(answer: Mapping[str, Any]) -> Report:
    """What was sent, as it was found."""
    return Report(tuple(Finding(**each) for each in answer["findings"]))


def _agree(place: Place, name: str, content: Any, until: float, judge: Any) -> Any:
    """The first worker's judgement of what all have found; None: it is not reached."""
    if place.index:
        return place.push(name, content, until)
    answer = judge(place.collect(name, content, until))
    place.answer(name, answer)
    return answer


def _sum(limit_seconds: float) -> dict[str, Any]:
    environ = {**processes.environment(), "TF_CONFIG": os.environ["TF_CONFIG"]}
    module = "kerascale.diagnostics.doctor.collective_worker"
    (ended,) = processes.run(module, [environ], limit_seconds, [str(_ELEMENTS)])
    return {**ended.results, "failure": ended.failure}


def _conclude(
    place: Place, found: Report, token: str, own: dict[str, Any], until: float
) -> Report:
    if own["sum"] is None:
        return found

    def judge(pushed: dict[int, Any]) -> dict[str, Any]:
        missing = [
            Finding("sum of 40 MB", "wrong", f"worker {rank} did not answer again")
            for rank in range(len(place.workers))
            if rank not in pushed
        ]
        more = [*missing, *verdicts.total(pushed)]
        return _answer([*found.findings, *more])

    answer = _agree(place, f"sum {token}", own, until, judge)
    if answer is None:
        return Report((*found.findings, *_cut_off(place).findings))
    return _report(answer)


def _cut_off(place: Place) -> Report:
    text = f"worker {place.index} does not reach worker 0 at {place.workers[0]}"
    mend = "Start that worker, open its port in the firewall, or mend its name."
    return Report((Finding("reach", "wrong", text, mend),))


def _wrong_config(problem: str) -> Finding:
    mend = "Mend TF_CONFIG, or start the workers with srun."
    return Finding("TF_CONFIG", "wrong", problem.removeprefix("TF_CONFIG: "), mend)
