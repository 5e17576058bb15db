#!/usr/bin/env bash
# tensorflow-datasets 4.9.10, pyarrow 26.0.1 (no TensorFlow)
#
# A dataset written by TensorFlow Datasets with `file_format="parquet"` lacks rows, and
# nobody says so: the metadata of the split count all of them, reading raises nothing.
# Rows are written by hundreds, and before the k-th hundred 100 * (k - 1) rows are
# dropped. Up to 100 rows nothing is lost.
#
# Seen: 1,000 examples generated, `num_examples` 1,000, 400 read; 10,000: 1,300 read.

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
    pyarrow==26.0.1 numpy==2.4.6
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


changed = []
for size, expected in ((100, 100), (1_000, 400), (10_000, 1_300)):
    Numbers.size = size
    builder = Numbers(data_dir=f"data-{size}", file_format="parquet")
    builder.download_and_prepare()
    told = builder.info.splits["train"].num_examples
    read = {int(example["n"]) for example in builder.as_data_source("train")}
    print(f"{size} generated: num_examples {told}, {len(read)} read")
    if (told, len(read)) != (size, expected):
        changed.append(f"{size}: {told} told, {len(read)} read, expected {expected}")
if changed:
    sys.exit("CHANGED: " + "; ".join(changed))
PROGRAM
"$python" program.py
