"""SavedModels for the server, made by TensorFlow alone."""

import pathlib

import tensorflow as tf

FLOAT, STRING = tf.float32, tf.string


def spec(shape, dtype=tf.float32, name=None):
    return tf.TensorSpec(shape, dtype, name=name)


def half_plus_two(path, offset=2.0):
    """TF Serving's own example: y = x / 2 + 2, also as classify and regress."""
    module = tf.Module()
    module.offset = tf.Variable(offset, dtype=tf.float32)

    @tf.function(input_signature=[spec((None,), name="x")])
    def predict(x):
        return {"y": x / 2 + module.offset}

    @tf.function(input_signature=[spec((None,), tf.string, name="inputs")])
    def classify(inputs):
        return {"scores": _parsed(inputs)["x"] / 2 + module.offset}

    @tf.function(input_signature=[spec((None,), tf.string, name="inputs")])
    def regress(inputs):
        return {"outputs": _parsed(inputs)["x"] / 2 + module.offset}

    @tf.function(input_signature=[spec((None,), tf.string, name="inputs")])
    def labelled(inputs):
        x = _parsed(inputs)["x"]
        classes = tf.tile(tf.constant([["low", "high"]]), [tf.shape(x)[0], 1])
        return {"classes": classes, "scores": tf.concat([-x, x], axis=1)}

    module.functions = [predict, classify, regress, labelled]
    return _save(
        module,
        path,
        {
            "serving_default": predict,
            "classify_x_to_y": classify,
            "classify_with_labels": labelled,
            "regress_x_to_y": regress,
        },
        classify=["classify_x_to_y", "classify_with_labels"],
        regress=["regress_x_to_y"],
    )


def _parsed(inputs):
    return tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([1], tf.float32)})


def many_types(path):
    """Signatures of several inputs and outputs of all types that JSON has."""
    module = tf.Module()

    @tf.function(
        input_signature=[
            spec((None, 2), name="a"),
            spec((None,), tf.int32, name="b"),
            spec((None,), tf.string, name="c"),
        ]
    )
    def several(a, b, c):
        return {
            "sum": tf.reduce_sum(a, 1) + tf.cast(b, tf.float32),
            "twice": a * 2,
            "text": c,
            "text_bytes": c,
            "count": b,
            "odd": b % 2 == 1,
        }

    signatures = {"serving_default": several}
    for name in ("float64", "float16", "bfloat16", "int8", "int64", "uint8", "uint64",
                 "bool", "string", "float32", "int32"):  # fmt: skip
        function = tf.function(
            lambda x: {"y": tf.identity(x)},
            input_signature=[spec(None, tf.as_dtype(name), name="x")],
        )
        signatures[name] = function

    @tf.function(input_signature=[spec((None,), name="x")])
    def mean(x):
        return {"y": tf.reduce_mean(x)}

    @tf.function(input_signature=[spec((None, 3), name="x")])
    def product(x):
        return {"y": tf.linalg.matmul(x, tf.eye(3))}

    @tf.function(input_signature=[spec((None,), tf.complex64, name="x")])
    def complex_numbers(x):
        return {"y": x}

    @tf.function(input_signature=[spec((None,), name="x")])
    def unequal(x):
        return {"y": x, "z": tf.concat([x, x], 0)}

    signatures |= {
        "mean": mean,
        "product": product,
        "complex": complex_numbers,
        "unequal": unequal,
    }
    module.functions = list(signatures.values())
    return _save(module, path, signatures)


def batching(path, size=32):
    """A network whose rows are independent, and functions whose rows are not."""
    tf.random.set_seed(0)
    module = tf.Module()
    module.kernels = [
        tf.Variable(tf.random.normal((16, size), seed=1)),
        tf.Variable(tf.random.normal((size, 4), seed=2)),
    ]

    @tf.function(input_signature=[spec((None, None, 16), name="x")])
    def network(x):
        first, second = module.kernels
        hidden = tf.nn.tanh(tf.tensordot(x, first, 1) / 4)
        y = tf.nn.softmax(tf.tensordot(tf.reduce_mean(hidden, 1), second, 1))
        # One row that is not finite makes the whole batch fail.
        with tf.control_dependencies([tf.debugging.check_numerics(x, "bad row")]):
            return {"probabilities": tf.identity(y)}

    @tf.function(input_signature=[spec((None, 2), name="x")])
    def standardised(x):
        return {"y": x - tf.reduce_mean(x, axis=0, keepdims=True)}

    module.functions = [network, standardised]
    return _save(module, path, {"serving_default": network, "coupled": standardised})


def reads_a_file(path, file):
    """One that gives out any file of the server."""
    module = tf.Module()

    @tf.function(input_signature=[spec((None,), name="x")])
    def read(x):
        return {"y": tf.fill(tf.shape(x), tf.io.read_file(str(file)))}

    module.read = read
    return _save(module, path, {"serving_default": read})


def slow(path):
    """One that takes as many milliseconds as its largest input says."""
    module = tf.Module()

    @tf.function(input_signature=[spec((None,), name="x")])
    def wait(x):
        end = tf.timestamp() + tf.cast(tf.reduce_max(x), tf.float64) / 1e3
        (now,) = tf.while_loop(
            lambda now: now < end, lambda now: [tf.timestamp()], [tf.timestamp()]
        )
        with tf.control_dependencies([now]):
            return {"y": tf.identity(x)}

    module.wait = wait
    return _save(module, path, {"serving_default": wait})


def _save(module, path, signatures, classify=(), regress=()):
    path = pathlib.Path(path)
    # As an export does: a server never sees half of it.
    unfinished = path.with_name(f"writing-{path.name}")
    tf.saved_model.save(module, str(unfinished), signatures=signatures)
    if classify or regress:
        updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(
            str(unfinished)
        )
        for method, names in (("classify", classify), ("regress", regress)):
            for name in names:
                updater.replace_method_name(name, f"tensorflow/serving/{method}")
        updater.save()
    unfinished.rename(path)
    return path
