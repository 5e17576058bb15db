"""A SavedModel of somebody else: what reaches beyond its computation is named."""

import keras
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import saved_model_pb2

from kerascale.errors import RefusedError
from kerascale.runs.checkpoint import refuse_unsafe_saved_model, scan_saved_model


def _save(function, path):
    module = tf.Module()
    module.variable = tf.Variable(1.0)
    signature = [tf.TensorSpec((), tf.float32)]
    module.f = tf.function(
        lambda x: function(x) + module.variable, input_signature=signature
    )
    tf.saved_model.save(module, str(path), signatures=module.f)
    return path


def _read(path):
    saved_model = saved_model_pb2.SavedModel()
    saved_model.ParseFromString((path / "saved_model.pb").read_bytes())
    return saved_model


def _write(path, saved_model):
    (path / "saved_model.pb").write_bytes(saved_model.SerializeToString())


@pytest.fixture
def plain(tmp_path):
    return _save(lambda x: x, tmp_path / "plain")


def test_what_keras_exports_passes(tmp_path):
    text = keras.Input((), dtype="string")
    vectorizer = keras.layers.TextVectorization(vocabulary=["a", "b"])
    x = keras.layers.Embedding(4, 3)(vectorizer(text))
    keras.Model(text, keras.layers.LSTM(2)(x)).export(tmp_path / "model", verbose=False)
    assert scan_saved_model(tmp_path / "model") == []
    refuse_unsafe_saved_model(tmp_path / "model")


def test_an_asset_and_a_print_pass(tmp_path):
    (tmp_path / "words").write_text("a 1\nb 2\n")
    init = tf.lookup.TextFileInitializer(
        str(tmp_path / "words"), tf.string, 0, tf.int64, 1, delimiter=" "
    )
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(init, -1)

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def find(x):
        tf.print("asked for", x)
        return module.table.lookup(x)

    module.find = find
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=find)
    assert scan_saved_model(tmp_path / "model") == []


def test_what_tensorflow_1_writes_passes(tmp_path):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, ())
        y = x * v1.get_variable("v", initializer=2.0, use_resource=True)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(tmp_path / "model"))
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder.add_meta_graph_and_variables(session, ["serve"], {"y": signature})
        builder.save()
    assert scan_saved_model(tmp_path / "model") == []


def _write_file(x):
    tf.io.write_file("harm", "harm")
    return x


def _in_a_branch(x):
    return tf.cond(x > 0, lambda: _write_file(x), lambda: x)


def _in_a_loop(x):
    return tf.while_loop(lambda y: y < 0, lambda y: [_write_file(y)], [x])[0]


def _in_a_data_set(x):
    data = tf.data.Dataset.range(1).map(lambda i: _write_file(tf.cast(i, tf.float32)))
    return data.reduce(x, lambda a, b: a + b)


def _read_file(x):
    return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/passwd")), tf.float32)


def _print_to_a_file(x):
    tf.print("harm", output_stream="file://harm")
    return x


def _python(x):
    return tf.ensure_shape(tf.py_function(lambda y: y, [x], tf.float32), ())


def _numpy(x):
    return tf.ensure_shape(tf.numpy_function(lambda y: y, [x], tf.float32), ())


def _checkpoint(x):
    tf.raw_ops.SaveV2(
        prefix="harm", tensor_names=["a"], shape_and_slices=[""], tensors=[x]
    )
    return x


def _records(x):
    data = tf.data.TFRecordDataset("/etc/passwd")
    return x + tf.cast(data.reduce(0, lambda a, b: a + 1), tf.float32)


def _cache(x):
    return tf.data.Dataset.from_tensors(x).cache("harm").reduce(x, lambda a, b: b)


def _hidden_graph(x):
    # The operation is in a string, where no scan of names finds it.
    graph = graph_pb2.GraphDef()
    graph.node.add(name="harm", op="WriteFile")
    variant = tf.raw_ops.DatasetFromGraph(graph_def=graph.SerializeToString())
    with tf.control_dependencies([variant]):
        return tf.identity(x)


def _summary(x):
    writer = tf.raw_ops.SummaryWriter()
    tf.raw_ops.CreateSummaryFileWriter(
        writer=writer,
        logdir="harm",
        max_queue=1,
        flush_millis=1,
        filename_suffix="",
    )
    return x


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (_write_file, ["WriteFile"]),
        (_in_a_branch, ["WriteFile"]),
        (_in_a_loop, ["WriteFile"]),
        (_in_a_data_set, ["WriteFile"]),
        (_read_file, ["ReadFile"]),
        (_print_to_a_file, ["PrintV2"]),
        (_python, ["EagerPyFunc"]),
        (_numpy, ["PyFunc"]),
        (_checkpoint, ["SaveV2"]),
        (_records, ["TFRecordDataset"]),
        (_cache, ["CacheDatasetV2"]),
        (_hidden_graph, ["DatasetFromGraph"]),
        (_summary, ["CreateSummaryFileWriter"]),
    ],
)
def test_operations(tmp_path, monkeypatch, function, names):
    monkeypatch.chdir(tmp_path)
    path = _save(function, tmp_path / "model")
    assert scan_saved_model(path) == names
    with pytest.raises(RefusedError, match=rf"with the operations {names[0]}, which"):
        refuse_unsafe_saved_model(path)
    assert not list(tmp_path.glob("harm*"))


def test_all_meta_graphs_are_read(plain):
    saved_model = _read(plain)
    graph = saved_model.meta_graphs.add().graph_def
    graph.node.add(name="x", op="WriteFile")
    graph.library.function.add().node_def.add(name="y", op="ExperimentalSqlDataset")
    _write(plain, saved_model)
    assert scan_saved_model(plain) == ["ExperimentalSqlDataset", "WriteFile"]


def _saver_function(meta_graph):
    name = meta_graph.saver_def.save_tensor_name.partition(":")[0]
    node = next(n for n in meta_graph.graph_def.node if n.name == name)
    return node.attr["f"].func.name


def _other_file_in_the_saver(meta_graph):
    name = _saver_function(meta_graph)
    library = meta_graph.graph_def.library.function
    saver = next(f for f in library if f.signature.name == name)
    saver.node_def.add(name="harm", op="WriteFile")


def _signature_that_saves(meta_graph):
    output = meta_graph.signature_def["serving_default"].outputs["harm"]
    output.name = meta_graph.saver_def.save_tensor_name


def _function_that_saves(meta_graph):
    function = meta_graph.graph_def.library.function.add()
    function.signature.name = "harm"
    node = function.node_def.add(name="harm", op="StatefulPartitionedCall")
    node.attr["f"].func.name = _saver_function(meta_graph)


def _list_of_functions_that_save(meta_graph):
    node = meta_graph.graph_def.node.add(name="harm", op="Case")
    node.attr["branches"].list.func.add().name = _saver_function(meta_graph)


def _loading_that_saves(meta_graph):
    meta_graph.saver_def.restore_op_name = meta_graph.saver_def.save_tensor_name


def _attribute_that_saves(meta_graph):
    thing = meta_graph.object_graph_def.nodes.add()
    thing.bare_concrete_function.concrete_function_name = _saver_function(meta_graph)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (_other_file_in_the_saver, ["WriteFile"]),
        (_signature_that_saves, ["MergeV2Checkpoints", "SaveV2"]),
        (_function_that_saves, ["MergeV2Checkpoints", "SaveV2"]),
        (_list_of_functions_that_save, ["MergeV2Checkpoints", "SaveV2"]),
        (_loading_that_saves, ["MergeV2Checkpoints", "SaveV2"]),
        (_attribute_that_saves, ["MergeV2Checkpoints", "SaveV2"]),
    ],
)
def test_a_saver_that_does_more_than_save(plain, change, names):
    saved_model = _read(plain)
    change(saved_model.meta_graphs[0])
    _write(plain, saved_model)
    assert scan_saved_model(plain) == names


def test_the_text_form_is_read_too(plain):
    saved_model = _read(plain)
    saved_model.meta_graphs[0].graph_def.node.add(name="x", op="PyFunc")
    text = text_format.MessageToString(saved_model)
    (plain / "saved_model.pbtxt").write_text(text)
    assert scan_saved_model(plain) == ["PyFunc"]
    (plain / "saved_model.pb").unlink()
    assert scan_saved_model(plain) == ["PyFunc"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("saved_model.cpb", b"", "has saved_model.cpb, which is not read"),
        ("saved_model.pb", b"harm", "a saved_model.pb that is damaged"),
        ("saved_model.pbtxt", b"harm", "a saved_model.pbtxt that is damaged"),
        ("other", b"", "has no saved_model.pb"),
    ],
)
def test_no_saved_model(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(RefusedError, match=message):
        scan_saved_model(tmp_path)
