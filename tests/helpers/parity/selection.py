"""Which cells run by default: every pair of what matters, not every combination.

A cell is a case, a strategy or a form of execution, and a precision. By default each
group of cases, which is a file of `cases`, is run under each strategy of `COVERED`, by
the cases that name it in `default`: one by one on two devices, and where a cell takes
longer, many of them in one training. That training is run on four devices too. Each
precision is run under devices, half ones under workers too; each form of execution with
what is different about its steps; three workers with what is different about a sum.
`test_selection.py` checks it.
`pytest -m ""` runs all cells.
"""

# Four devices differ from two in slices that are never even (in `combined_heads`) and
# in replicas without a row in `evaluate` and `predict`; three workers from two in what
# they sum: see SUMS. With all groups they are `slow`.
COVERED = ("mirrored:2", "workers:2")

# What is in the trainings of many features: name -> groups.
COMBINED = {
    "combined_heads": (
        "callbacks",
        "inputs",
        "losses",
        "metrics",
        "normalization",
        "optimizers",
        "random_layers",
        "stages",
        "steps",
        "updates",
    ),
    "combined_outputs": ("losses", "optimizers", "random_layers"),
    "combined_sequences": ("execution", "losses", "steps", "updates"),
}

# Under precisions that are not the first of a case: (precision, strategy) -> names.
FURTHER_PRECISIONS = {
    ("float32", "mirrored:2"): ("batch_normalization",),
    ("mixed_bfloat16", "mirrored:2"): ("mixed_precision",),
}

# What differs in a step that is not run alone: name -> forms.
FORMS = {
    # Rates are computed ahead, random numbers belong to a step, several outputs have
    # logs, weights are replaced by their mean.
    "combined_heads": (
        "one:loop",
        "one:one_program",
        "mirrored:2+loop",
        "mirrored:2+one_program",
        "shared:2+loop",
    ),
    # The same for a step in parts, which changes no statistics.
    "combined_outputs": (
        "one:split",
        "mirrored:2+compiled",
        "mirrored:2+split",
        "shared:2+compiled",
    ),
    # An optimizer with two moments of each variable, and a decay of some.
    "adamw": ("shared:2+shares",),
    # A loop inside a program.
    "empty_slice_lstm": ("one:one_program",),
    # Data by row.
    "recipe_mlp": ("one:loop",),
    # A step that XLA was told to compile and cannot: its replicas communicate in it.
    "jit_compile_batch_normalization": ("shared:2+loop",),
    # A loss of many values, shown on slices of which one is smaller.
    "reduction_none": ("shared:2+loop",),
    # Rows that replicas gather, fewer of them in the last batch.
    "sparse_gradients": ("mirrored:2+loop",),
}

# The cases of `registry.SHARES`: of optimizers, clipping, several outputs and sizes.
OF_SHARES = (
    "adadelta",
    "adagrad",
    "adamax",
    "adamw",
    "clipnorm",
    "combined_outputs",
    "constraints",
    "lion",
    "recipe_mlp",
    "recipe_transformer",
    "rmsprop",
    "uneven",
)

# The cases of `registry.FURTHER_FORMS`, none of which runs by default.
OF_FURTHER_FORMS = (
    "batch_normalization",
    "combined_heads",
    "combined_outputs",
    "combined_sequences",
    "custom_train_step",
    "jit_compile",
    "recipe_cnn",
    "recipe_mlp",
    "sparse_gradients",
    "uneven",
)

# What goes into a sum through shared memory by three workers: packed, sparse,
# accumulated, compiled. The last batch of each has an empty slice.
SUMS = (
    "jit_compile_accumulation",
    "sparse_gradients",
)

# Against plain Keras on one device, bit for bit.
PLAIN = (
    "combined_heads",
    "combined_sequences",
    "coupled_at_once",
    "custom_train_step",
    "fine_tuning",
    "recipe_mlp",
    "saved_sequential",
    "task_ordinal",
    "tf_data",
)


def groups_of(case):
    """The files whose features a case has: mostly the one it is in."""
    own = case.function.__module__.rpartition(".")[2]
    return {own, *COMBINED.get(case.name, ())}


def is_default(case, strategy, precision):
    """Whether a cell of the matrix runs by default."""
    if precision != case.precisions[0]:
        return case.name in FURTHER_PRECISIONS.get((precision, strategy), ())
    return strategy in case.default
