"""Answers questions with a SavedModel, in a process without Keras and kerascale.

It is run by its path, and imports TensorFlow alone, as a server would. A line of
standard input names a file of questions, which is JSON: the SavedModel's folder, and
for each question a signature and its inputs, each as the base64 of a TensorProto. The
answers go into another file, in the same form.
"""

import base64
import json
import sys
from typing import Any


def main() -> None:
    # First of all: whatever the SavedModel might still need of them is missing now.
    sys.modules["keras"] = sys.modules["kerascale"] = None
    import tensorflow as tf

    questions_file, answers_file = json.loads(sys.stdin.readline())
    with open(questions_file, encoding="utf-8") as file:
        questions = json.load(file)
    loaded = tf.saved_model.load(questions["path"])
    answers = []
    for signature, inputs in questions["calls"]:
        tensors = {name: _tensor(text) for name, text in inputs.items()}
        outputs = loaded.signatures[signature](**tensors)
        answers.append({name: _text(tensor) for name, tensor in outputs.items()})
    found = [name for name in sys.modules if name.startswith("keras.src")]
    if found:
        raise ImportError(f"expected no Keras. Received: {found[0]}")
    with open(answers_file, "w", encoding="utf-8") as file:
        json.dump(answers, file)


def _tensor(text: str) -> Any:
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    proto = tensor_pb2.TensorProto.FromString(base64.b64decode(text))
    return tf.constant(tf.make_ndarray(proto), proto.dtype)


def _text(tensor: Any) -> str:
    import tensorflow as tf

    proto = tf.make_tensor_proto(tensor.numpy())
    return base64.b64encode(proto.SerializeToString()).decode()


if __name__ == "__main__":
    main()
