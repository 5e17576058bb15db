"""Which cells run by default: every pair of what matters, not every combination.

A cell is a case, a strategy or a form of execution, and a precision. By default each
group of cases, which is a file of `cases`, is run under each strategy of `COVERED`, by
the cases that name it in `default`; each precision under devices and under workers;
each form of execution with what is different about its steps; three workers with what
is different about a sum. `test_selection.py` checks it. `pytest -m ""` runs all cells.
"""

# Three workers differ from two in what they sum and in slices that are never even: see
# SUMS. With all groups they are `slow`.
COVERED = ("mirrored:2", "mirrored:4", "workers:2")

# Under precisions that are not the first of a case: (precision, strategy) -> names.
FURTHER_PRECISIONS = {
    ("float32", "mirrored:2"): ("batch_normalization",),
    ("float32", "workers:2"): ("sgd",),
    ("mixed_bfloat16", "mirrored:2"): ("mixed_precision",),
}

# What differs in a step that is not run alone: name -> forms.
FORMS = {
    # Rates are computed ahead.
    "schedule": ("one:loop", "one:one_program", "one:split"),
    # Random numbers belong to a step.
    "dropout": ("one:loop", "one:one_program", "one:split"),
    # Logs of several outputs; two metrics of one name.
    "several_outputs": ("one:loop", "one:one_program", "one:split"),
    # A loop inside a program.
    "empty_slice_lstm": ("one:one_program",),
    # Data by row, and parts of a batch of it.
    "recipe_mlp": ("one:split",),
}

# What goes into a sum through shared memory by three workers: packed, sparse,
# accumulated, compiled, of a user's own step, of an empty slice, one by one.
SUMS = (
    "accumulation",
    "custom_train_step",
    "empty_slice_dense",
    "jit_compile_accumulation",
    "run_eagerly",
    "sparse_gradients",
    "steps_per_execution",
)

# Against plain Keras on one device, bit for bit.
PLAIN = (
    "accumulation",
    "adamw",
    "batch_normalization",
    "class_weight",
    "custom_compute_loss",
    "custom_train_step",
    "dict_inputs",
    "dropout",
    "early_stopping",
    "ema_overwrite",
    "empty_slice_lstm",
    "fine_tuning",
    "global_clipnorm",
    "masked_sequences",
    "metrics_of_several_classes",
    "recipe_mlp",
    "saved_sequential",
    "several_outputs",
    "sparse_gradients",
    "steps_per_execution",
    "tf_data",
    "uneven",
)


def group_of(case):
    """The file that a case is in."""
    return case.function.__module__.rpartition(".")[2]


def is_default(case, strategy, precision):
    """Whether a cell of the matrix runs by default."""
    if precision != case.precisions[0]:
        return case.name in FURTHER_PRECISIONS.get((precision, strategy), ())
    return strategy in case.default
