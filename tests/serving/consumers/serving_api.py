"""Reads the warm-up records and models.config with TF Serving's own messages."""

import json
import sys

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

base = sys.argv[1]
records = []
file = f"{base}/1/assets.extra/tf_serving_warmup_requests"
for record in tf.data.TFRecordDataset(file):
    log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        signature = request.model_spec.signature_name
        arrays = {n: tf.make_ndarray(t) for n, t in request.inputs.items()}
        content = {
            n: [a.dtype.name, a.shape, float(a.sum())] for n, a in arrays.items()
        }
    else:
        request = log.classify_log.request
        signature = request.model_spec.signature_name
        examples = request.input.example_list.examples
        content = [sum(e.features.feature["image"].float_list.value) for e in examples]
    records.append([kind, signature, content])

config = model_server_config_pb2.ModelServerConfig()
with open(f"{base}/models.config") as file:
    text_format.Parse(file.read(), config)
(model,) = config.model_config_list.config
models = [
    model.name,
    model.base_path,
    model.model_platform,
    list(model.model_version_policy.specific.versions),
    dict(model.version_labels),
]
print(json.dumps({"records": records, "models": models}))
