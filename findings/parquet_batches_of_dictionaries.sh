#!/usr/bin/env bash
# pyarrow 26.0.1
#
# `ParquetFile.iter_batches(250)` gives 250 rows a batch, across row groups of 100. If a
# column is dictionary-encoded in Arrow (pandas' categories, or `read_dictionary`), the
# same call gives batches of 100 and 50: a batch ends with each row group, and again
# where 250 rows were counted. Plain strings with the same values are not affected.
#
# Seen: 1,000 rows, groups of 100: strings 250 250 250 250; dictionaries 100 100 50 50
# 100 100 100 100 50 50 100 100.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    pyarrow==26.0.1
fi

cat > program.py <<'PROGRAM'
import sys

import pyarrow as pa
import pyarrow.parquet as pq

values = pa.array([str(i % 7) for i in range(1_000)])


def sizes(column):
    pq.write_table(pa.table({"a": column}), "rows.parquet", row_group_size=100)
    batches = pq.ParquetFile("rows.parquet").iter_batches(250)
    return [batch.num_rows for batch in batches]


strings, dictionaries = sizes(values), sizes(values.dictionary_encode())
print(f"strings: {strings}")
print(f"dictionaries: {dictionaries}")
expected = [100, 100, 50, 50, 100, 100] * 2
if strings != [250] * 4 or dictionaries != expected:
    sys.exit(f"CHANGED: expected 250 of strings, {expected} of dictionaries")
PROGRAM
"$python" program.py
