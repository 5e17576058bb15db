"""Faults of exports, versions and the server."""

from ..fault import Fault

FAULTS = (
    Fault(
        "an-export-to-a-store-makes-a-folder-of-its-name",
        "serving/folders.py",
        'remote_paths.refuse("destination", base, remote_paths.WRITE_HERE)',
        "pass",
        ("test_exports_to_stores.py::test_an_export_is_on_a_file_system",),
    ),
    Fault(
        "the-output-has-another-name",
        "serving/source.py",
        'else "probabilities"',
        'else "outputs"',
        ("test_consumers.py::test_saved_model_cli[mlp]",),
    ),
    Fault(
        "classify-sorts-the-names",
        "serving/classify.py",
        "names = tf.constant([[*labels]], tf.string)",
        "names = tf.constant([sorted(labels)], tf.string)",
        ("test_class_names.py",),
    ),
    Fault(
        "bfloat16-is-told-as-two-bytes",
        "serving/loader_process.py",
        'array.dtype.name if array.dtype.kind == "V" else array.dtype.str',
        "array.dtype.str",
        ("test_halves_and_ids.py::test_outputs_of_bfloat16_are_the_models",),
    ),
    Fault(
        "previous-is-the-promoted-version",
        "serving/versions.py",
        "labels[PREVIOUS] = stable",
        "labels[PREVIOUS] = number",
        ("test_versions.py::test_promote_and_roll_back",),
    ),
    Fault(
        "pruning-removes-versions-with-a-label",
        "serving/versions.py",
        "removed = [version for version in found[:-keep] if not version.labels]",
        "removed = found[:-keep]",
        ("test_versions.py::test_prune_leaves_labelled_versions",),
    ),
    Fault(
        "warm-up-without-single-requests",
        "serving/warm_up.py",
        "for part in [*parts, arrays]",
        "for part in [arrays]",
        ("test_contents.py::test_warm_up_requests_are_answered_and_are_of_the_data",),
    ),
    Fault(
        "an-answer-of-nan-passes-the-gate",
        "serving/gate.py",
        "if largest <= limit:",
        "if not largest > limit:",
        ("test_answers.py",),
    ),
    Fault(
        "a-metric-of-nan-is-no-drop",
        "serving/compatibility.py",
        "if loss <= max_drop + 1e-12 or math.isnan(served):",
        "if not loss > max_drop + 1e-12:",
        ("test_gate.py::test_a_worse_metric",),
    ),
    Fault(
        "columns-are-answered-as-rows",
        "serving/server/inputs.py",
        "return _from_columns(document[_COLUMNS], kinds), False",
        "return _from_columns(document[_COLUMNS], kinds), True",
        ("test_rest_contract.py::test_predict",),
    ),
    Fault(
        "answers-of-a-batch-are-mixed-up",
        "serving/server/batching.py",
        "return list(split(outputs, sizes))",
        "return list(split(outputs, sizes))[::-1]",
        (
            "test_rest_runner.py::"
            "test_what_comes_while_the_threads_are_busy_is_one_batch",
            "test_rest_batching.py::"
            "test_requests_are_joined_by_shape_and_answered_alike",
        ),
    ),
)
