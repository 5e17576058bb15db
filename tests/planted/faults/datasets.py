"""Faults of the data: order, augmentation, batches, sources."""

from ..fault import Fault

FAULTS = (
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
    Fault(
        "a-gap-is-a-zero",
        "datasets/tables/features.py",
        "ops.full_like(cells, column.mean)",
        "ops.zeros_like(cells)",
        ("test_table_columns.py::test_what_never_occurred_in_training",),
    ),
    Fault(
        "a-table-is-fitted-to-validation-rows-too",
        "datasets/loading.py",
        'rows, names = named["train"].features, raw.feature_names',
        "rows, names = raw.train.features, raw.feature_names",
        ("test_table_columns.py::test_statistics_are_those_of_the_training_rows",),
    ),
    Fault(
        "years-begin-in-april",
        "datasets/tables/dates.py",
        "month = (month + 9) % 12",
        "month = (month + 8) % 12",
        ("test_table_columns.py::test_dates_are_the_days_of_the_calendar",),
    ),
    Fault(
        "a-regression-is-not-stratified",
        "datasets/splits.py",
        "return ranks * _BINS // max(1, len(labels))",
        "return ranks * 0",
        ("test_targets.py::test_splits_have_the_same_share_of_each_tenth_of_a_target",),
    ),
    Fault(
        "ranks-keep-the-order-of-the-alphabet",
        "datasets/targets.py",
        "place = np.array([list(order).index(name) for name in names], np.int64)",
        "place = np.arange(len(names))",
        ("test_targets.py::test_ranks_have_the_order_that_is_given",),
    ),
)
