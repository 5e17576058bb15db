"""Faults of the launcher."""

from ..fault import Fault

FAULTS = (
    Fault(
        "a-worker-fails-and-the-job-is-done",
        "launch/summary.py",
        "return self.failed.shell_code",
        "return EXIT_DONE",
        ("test_launch.py::test_a_failure_stops_the_others",),
    ),
    Fault(
        "one-restart-too-many",
        "launch/restarts.py",
        "if self._count == self._most:",
        "if self._count > self._most:",
        ("test_counting_restarts.py",),
    ),
    Fault(
        "pauses-do-not-grow",
        "launch/restarts.py",
        "self._backoff_seconds * 2**self._count",
        "self._backoff_seconds",
        ("test_counting_restarts.py",),
    ),
    Fault(
        "a-signal-is-not-passed-on",
        "launch/watch.py",
        "            for worker in running:\n                worker.forward(number)\n",
        "",
        ("test_launch.py::test_a_signal_is_passed_on",),
    ),
    Fault(
        "all-workers-are-the-first",
        "launch/environment.py",
        'task = {"type": "worker", "index": index}',
        'task = {"type": "worker", "index": 0}',
        ("test_launch.py::test_each_worker_has_its_place_in_one_cluster",),
    ),
    Fault(
        "workers-share-gpus",
        "launch/environment.py",
        "first = index * devices_per_worker",
        "first = index",
        ("test_launch.py::test_each_worker_has_its_own_gpus",),
    ),
    Fault(
        "a-job-that-was-cancelled-is-requeued",
        "launch/slurm/script.py",
        "-o %T) == RUNNING ]]; then",
        "-o %T) != PENDING ]]; then",
        ("test_slurm_jobs.py::test_a_job_that_was_cancelled_is_not_requeued",),
    ),
    Fault(
        "a-pod-that-was-evicted-counts-as-failed",
        "launch/kubernetes/manifests.py",
        '"values": [EXIT_STOPPED],',
        '"values": [EXIT_STOPPED + 1],',
        ("test_kubernetes.py",),
    ),
    Fault(
        "hosts-that-are-cut-off-train-on-beside-the-others",
        "launch/elastic/deciding.py",
        "if any(state in (RUNNING, CUT) for state in states.values()):",
        "if any(state == RUNNING for state in states.values()):",
        ("test_elastic_deciding.py",),
    ),
    Fault(
        "a-host-that-came-is-never-taken-in",
        "launch/elastic/agent.py",
        "self._own = dataclasses.replace(self._own, ended=newest.number)",
        "pass",
        ("test_hosts.py::test_one_sleeps_then_leaves_and_then_all_do",),
    ),
    Fault(
        "two-make-one-generation",
        "launch/elastic/records.py",
        "os.link(new, path)  # Fails if it is there, on NFS too.",
        "new.replace(path)",
        ("test_elastic_deciding.py",),
    ),
)
