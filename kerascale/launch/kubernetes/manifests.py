"""The objects of a training on Kubernetes.

An Indexed Job gives each worker a stable name, which a headless Service resolves.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from kerascale.errors import EXIT_REFUSED, EXIT_STOPPED
from kerascale.runtime import heartbeat

_PORT = 2222
METRICS_PORT = 9464
_FOLDER = "/work"
_BEAT = "/tmp/kerascale-heartbeat"
# An Indexed Job writes it at each pod.
_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
# Pods come one after the other, and a node may have to be started for one.
_START_SECONDS = 1800
_WORKERS = "worker"  # Of a JobSet: the name of its one Job.

Object = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """What is asked of Kubernetes.

    Args:
        name: Of all objects.
        namespace: Theirs; None: the one of who applies them.
        workers: Pods.
        image: With kerascale in it.
        volume: A PersistentVolumeClaim that all pods may write to.
        command: Program and arguments of each worker.
        cpus: Cores of each.
        memory: Of each, as Kubernetes takes it, such as 16Gi.
        gpus: Of each.
        save_seconds: How long a worker may take to save and to stop.
        stuck_seconds: Without a sign of life, after which a pod is started again.
        restarts: How often a failed training is started again.
    """

    name: str
    namespace: str | None
    workers: int
    image: str
    volume: str
    command: Sequence[str]
    cpus: int
    memory: str
    gpus: int
    save_seconds: int
    stuck_seconds: int
    restarts: int


def objects(training: Training, *, jobset: bool = False) -> dict[str, Object]:
    """File name -> object.

    Args:
        training: What is asked for.
        jobset: Whether a JobSet (its operator must be there) is made, which starts all
            workers again together.
    """
    disruption = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(training),
        "spec": {
            # A drain takes one worker at a time, and waits for the others.
            "maxUnavailable": 1,
            "selector": {"matchLabels": _labels(training)},
        },
    }
    if jobset:
        return {
            "jobset.yaml": _jobset(training),
            "disruption.yaml": disruption,
        }
    return {
        "service.yaml": _service(training),
        "job.yaml": {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": _metadata(training),
            "spec": _job_spec(training, f"{training.name}-{{}}.{training.name}"),
        },
        "disruption.yaml": disruption,
    }


def _labels(training: Training) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "kerascale",
        "app.kubernetes.io/instance": training.name,
    }


def _metadata(training: Training) -> Object:
    found: Object = {"name": training.name, "labels": _labels(training)}
    if training.namespace:
        found["namespace"] = training.namespace
    return found


def _service(training: Training) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(training),
        "spec": {
            "clusterIP": "None",
            # Workers look for each other before any of them is ready.
            "publishNotReadyAddresses": True,
            "selector": _labels(training),
            "ports": [{"name": "grpc", "port": _PORT}],
        },
    }


def _jobset(training: Training) -> Object:
    name = training.name
    host = f"{name}-{_WORKERS}-0-{{}}.{name}"
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": _metadata(training),
        "spec": {
            "failurePolicy": {
                "maxRestarts": training.restarts,
                "rules": [
                    {
                        "name": "refused",
                        "action": "FailJobSet",
                        "onJobFailureReasons": ["PodFailurePolicy"],
                    }
                ],
            },
            "network": {
                "enableDNSHostnames": True,
                "subdomain": name,
                "publishNotReadyAddresses": True,
            },
            "replicatedJobs": [
                {
                    "name": _WORKERS,
                    "replicas": 1,
                    "template": {"spec": _job_spec(training, host)},
                }
            ],
        },
    }


def _job_spec(training: Training, host: str) -> Object:
    return {
        "completionMode": "Indexed",
        "completions": training.workers,
        "parallelism": training.workers,
        # When one worker is gone the others end too: each counts.
        "backoffLimit": (training.restarts + 1) * training.workers - 1,
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": "worker",
                        "operator": "In",
                        "values": [EXIT_REFUSED],
                    },
                },
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
                {
                    "action": "Ignore",
                    "onExitCodes": {
                        "containerName": "worker",
                        "operator": "In",
                        "values": [EXIT_STOPPED],
                    },
                },
            ]
        },
        "template": {
            "metadata": {
                "labels": _labels(training),
                "annotations": {
                    "prometheus.io/scrape": "true",
                    "prometheus.io/port": str(METRICS_PORT),
                },
            },
            "spec": _pod_spec(training, host),
        },
    }


def _pod_spec(training: Training, host: str) -> Object:
    limits: Object = {"memory": training.memory}
    if training.gpus:
        limits["nvidia.com/gpu"] = training.gpus
    requests = {"cpu": str(training.cpus), **limits}
    look = f"test $(($(date +%s) - $(stat -c %Y {_BEAT}))) -lt {training.stuck_seconds}"
    return {
        "subdomain": training.name,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": training.save_seconds,
        "containers": [
            {
                "name": "worker",
                "image": training.image,
                "workingDir": _FOLDER,
                "command": [
                    *training.command,
                    f"--start-timeout={_START_SECONDS}",
                    f"--metrics-port={METRICS_PORT}",
                    "--metrics-host=0.0.0.0",
                ],
                "env": _variables(training, host),
                "ports": [
                    {"name": "grpc", "containerPort": _PORT},
                    {"name": "metrics", "containerPort": METRICS_PORT},
                ],
                "resources": {"requests": requests, "limits": limits},
                # The first sign of life; then one at least as often as this.
                "startupProbe": {
                    "exec": {"command": ["test", "-e", _BEAT]},
                    "periodSeconds": 10,
                    "failureThreshold": 60,
                },
                "livenessProbe": {
                    "exec": {"command": ["sh", "-c", look]},
                    "periodSeconds": 30,
                    "failureThreshold": 2,
                },
                "volumeMounts": [
                    {"name": "work", "mountPath": _FOLDER},
                    {"name": "shared-memory", "mountPath": "/dev/shm"},
                ],
            }
        ],
        "volumes": [
            {
                "name": "work",
                "persistentVolumeClaim": {"claimName": training.volume},
            },
            {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
        ],
    }


def _variables(training: Training, host: str) -> list[Object]:
    addresses = [f"{host.format(n)}:{_PORT}" for n in range(training.workers)]
    # Kubernetes puts the index in, which must be no text.
    cluster = json.dumps({"worker": addresses})
    task = '{"type": "worker", "index": $(WORKER_INDEX)}'
    variables = [
        {
            "name": "WORKER_INDEX",
            "valueFrom": {"fieldRef": {"fieldPath": _INDEX}},
        },
        {"name": heartbeat.FILE, "value": _BEAT},
        {"name": "KERASCALE_CACHE_DIR", "value": "/tmp/kerascale"},
    ]
    if training.workers > 1:
        value = f'{{"cluster": {cluster}, "task": {task}}}'
        variables.append({"name": "TF_CONFIG", "value": value})
    return variables
