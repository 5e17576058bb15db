"""Faults of strategies, TF_CONFIG and sums in shared memory."""

from ..fault import Fault

FAULTS = (
    Fault(
        "two-workers-may-have-one-address",
        "strategies/tf_config.py",
        "if number > 1",
        "if number > 2",
        ("test_tf_config.py::test_a_wrong_cluster_is_refused_in_one_line",),
    ),
    Fault(
        "workers-come-before-the-chief",
        "strategies/tf_config.py",
        '_JOBS = ("chief", "worker")',
        '_JOBS = ("worker", "chief")',
        ("test_tf_config.py::test_the_chief_comes_first",),
    ),
    Fault(
        "no-worker-waits-until-the-chief-listens",
        "strategies/tf_config.py",
        "    if cluster.is_chief:\n        return\n    deadline",
        "    if cluster:\n        return\n    deadline",
        ("test_tf_config.py::test_a_worker_waits_until_the_chief_listens",),
    ),
    Fault(
        "each-rank-begins-a-sum-with-its-own-part",
        "strategies/shared_memory/shared_sum.py",
        "layout.add(parts, total, begin, end)",
        "layout.add([own, *(p for p in parts if p is not own)], total, begin, end)",
        ("test_peers.py::test_the_sum_in_the_order_of_the_ranks_to_the_bit",),
    ),
    Fault(
        "rows-of-another-rank-are-as-many-as-here",
        "strategies/shared_memory/shared_sum.py",
        "theirs = part[: counts.nbytes].view(np.int64)",
        "theirs = counts",
        ("test_peers.py::test_rows_in_the_order_of_the_ranks_however_many_each_has",),
    ),
    Fault(
        "workers-out-of-step-add-up-what-they-have",
        "strategies/shared_memory/peers.py",
        "if received[:3] != (sequence, kind, digest):",
        "if received[1] != kind:",
        ("test_peers.py::test_workers_out_of_step_are_told_instead_of_a_wrong_sum",),
    ),
    Fault(
        "nodes-of-slurm-are-sorted-by-their-letters",
        "strategies/slurm/node_list.py",
        "    return names\n",
        "    return sorted(names)\n",
        ("test_slurm.py::test_lists_of_nodes",),
    ),
    Fault(
        "a-rule-of-a-layout-that-matches-nothing-is-silent",
        "strategies/layouts/assign.py",
        "if id(rule) not in decided and not rule.is_shipped:",
        "if rule is None:",
        ("test_layouts.py::test_all_that_is_wrong_with_a_layout_is_named_at_once",),
    ),
    Fault(
        "a-variable-that-no-rule-speaks-of-is-copied",
        "strategies/layouts/assign.py",
        "problems.append(_UNSPOKEN.format(variable.path, variable.shape))",
        "pass",
        ("test_layouts.py::test_all_that_is_wrong_with_a_layout_is_named_at_once",),
    ),
    Fault(
        "each-process-of-a-mesh-makes-all-its-devices",
        "strategies/mesh_process.py",
        "return mesh.size // processes",
        "return mesh.size",
        ("test_mesh_peers.py::test_processes_share_the_devices_of_a_mesh",),
    ),
)
