#!/usr/bin/env bash
# tensorflow-datasets 4.9.10, pyarrow 26.0.1, array_record 0.8.6 (no TensorFlow)
#
# `as_data_source` takes `train[:90%]` and `train[90%:]` of a dataset in Parquet files
# and gives all of the split for either: a validation set by slices is the training set.
# Of the same dataset in ArrayRecord files it gives 90 % and 10 %.
#
# Seen: 100 examples: Parquet 100 and 100, ArrayRecord 90 and 10.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    tensorflow-datasets==4.9.10 importlib_resources==7.1.0 \
    pyarrow==26.0.1 numpy==2.4.6 array_record==0.8.6
fi

cat > program.py <<'PROGRAM'
import sys

import numpy as np
import tensorflow_datasets as tfds

tfds.disable_progress_bar()


class Numbers(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    size = 0

    def _info(self):
        features = tfds.features.FeaturesDict({"n": np.int64})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for n in range(self.size):
            yield n, {"n": n}


Numbers.size = 100  # So few are written right.
seen = {}
for file_format in ("parquet", "array_record"):
    builder = Numbers(data_dir=f"data-{file_format}", file_format=file_format)
    builder.download_and_prepare()
    slices = [builder.as_data_source(s) for s in ("train[:90%]", "train[90%:]")]
    seen[file_format] = [len({int(e["n"]) for e in examples}) for examples in slices]
    print(f"{file_format}: {seen[file_format]}")
if seen != {"parquet": [100, 100], "array_record": [90, 10]}:
    sys.exit("CHANGED: expected 100 and 100 of Parquet, 90 and 10 of ArrayRecord")
PROGRAM
"$python" program.py
