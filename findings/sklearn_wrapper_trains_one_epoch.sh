#!/usr/bin/env bash
# scikit-learn 1.9.1, keras 3.15.1, tensorflow 2.21.0 (CPU)
#
# `SKLearnClassifier(build, fit_kwargs={"epochs": 7})` trains 7 epochs when its `fit` is
# called. In scikit-learn's `cross_validate`, `cross_val_score` and `GridSearchCV` it
# trains one: they work on clones, and a clone reports the same `get_params()` but has
# lost its `fit_kwargs`. The scores that come out are of models trained for one epoch.
#
# Seen: 7 epochs when fitted; 1, 1 and 1 in the three folds of `cross_validate`.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    tensorflow==2.21.0 keras==3.15.1 numpy==2.4.6 scikit-learn==1.9.1
fi
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow

cat > program.py <<'PROGRAM'
import sys

import keras
import numpy as np
from keras.wrappers import SKLearnClassifier
from sklearn.model_selection import cross_validate

keras.config.disable_interactive_logging()


def build(X, y):
    # The wrapper gives labels as one-hot rows.
    output = keras.layers.Dense(y.shape[1], activation="softmax")
    model = keras.Sequential([keras.Input(X.shape[1:]), output])
    model.compile("sgd", "categorical_crossentropy")
    return model


def epochs(classifier):
    return len(classifier.history_.history["loss"])


random = np.random.default_rng(0)
x = random.normal(size=(96, 4)).astype("float32")
y = np.arange(96) % 3
classifier = SKLearnClassifier(build, fit_kwargs={"epochs": 7})
fitted = epochs(classifier.fit(x, y))
folds = cross_validate(classifier, x, y, cv=3, return_estimator=True)["estimator"]
seen = [epochs(fold) for fold in folds]
print(f"epochs: {fitted} when fitted, {seen} in cross_validate")
if fitted != 7 or seen != [1, 1, 1]:
    sys.exit("CHANGED: expected 7, and 1 in each fold")
PROGRAM
"$python" program.py
