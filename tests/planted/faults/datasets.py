"""Faults of the data: order, augmentation, batches, sources."""

from ..fault import Fault

FAULTS = (
    Fault(
        "rows-of-a-group-are-in-several-folds",
        "datasets/folds.py",
        "    if column.groups is not None:\n        parts =",
        "    if column.groups is None:\n        parts =",
        ("test_folds.py::test_rows_of_one_group_are_held_out_together",),
    ),
    Fault(
        "folds-do-not-depend-on-the-seed",
        "datasets/folds.py",
        "PCG64([_SEED, 3, seed])",
        "PCG64([_SEED, 3])",
        ("test_folds.py::test_folds_are_a_function_of_the_seed",),
    ),
    Fault(
        "epochs-have-one-order",
        "datasets/order.py",
        'key = stateless.epoch_key(seed, epoch, "order")',
        'key = stateless.epoch_key(seed, epoch * 0, "order")',
        ("test_order.py::test_every_epoch_has_its_own_order",),
    ),
    Fault(
        "the-last-batch-is-dropped",
        "datasets/pipeline.py",
        "return -(-self.num_examples // self.batch_size)",
        "return self.num_examples // self.batch_size",
        ("test_pipeline.py::test_each_epoch_has_every_example_once",),
    ),
    Fault(
        "validation-is-shuffled",
        "datasets/pipeline.py",
        "self, gather=gather, shuffle=False, plain_gather=None",
        "self, gather=gather, plain_gather=None",
        ("test_batches_of_a_split.py",),
    ),
    Fault(
        "a-token-is-its-own-label",
        "datasets/gathers.py",
        "return window[:, :-1], window[:, 1:]",
        "return window[:, :-1], window[:, :-1]",
        ("test_pipeline.py::test_windows_are_followed_by_their_next_token",),
    ),
    Fault(
        "augmentation-depends-on-the-batch",
        "datasets/augmentation.py",
        '            indices, seed=seed, epoch=epoch, draws=5, stream="augmentation"',
        "            tf.range(tf.size(indices)),"
        ' seed=seed, epoch=epoch, draws=5, stream="augmentation"',
        ("test_augmentation.py::test_an_example_does_not_depend_on_its_batch",),
    ),
    Fault(
        "classes-are-numbered-as-they-come",
        "datasets/sources/label_codes.py",
        "distinct = sorted(set(values))",
        "distinct = list(dict.fromkeys(values))",
        ("test_csv_source.py::test_labels",),
    ),
    Fault(
        "a-cell-of-nan-is-a-number",
        "datasets/sources/csv_table.py",
        "if not np.isfinite(features).all():",
        "if np.isinf(features).any():",
        ("test_csv_source.py::test_one_bad_cell_is_named_exactly",),
    ),
    Fault(
        "the-line-of-a-bad-cell-is-one-too-small",
        "datasets/sources/csv_rows.py",
        "line = reader.line_num + 1",
        "line = reader.line_num",
        ("test_csv_source.py::test_one_bad_cell_is_named_exactly",),
    ),
    Fault(
        "a-damaged-record-is-read",
        "datasets/sources/tfrecord_files.py",
        "if _TAIL.unpack(tail)[0] == masked_crc(content):",
        "if _TAIL.unpack(tail):",
        ("test_tfrecord_source.py::test_a_damaged_record_is_skipped_and_said",),
    ),
    Fault(
        "words-of-one-count-come-in-any-order",
        "datasets/text.py",
        "key=lambda item: (-item[1], item[0])",
        "key=lambda item: -item[1]",
        ("test_text.py::test_the_vocabulary_is_by_count_then_token",),
    ),
)
