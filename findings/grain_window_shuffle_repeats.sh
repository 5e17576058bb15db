#!/usr/bin/env bash
# grain 0.2.18
#
# `grain.experimental.WindowShuffleMapDataset` is to shuffle within windows. If the last
# window is shorter than the others, records of it come twice and others never:
# positions in it are shuffled as if it were a full one. The number of records is right.
#
# Seen: 10 records, windows of 4: 8 and 9 never come, 0 and 1 twice; 1,000 records,
# windows of 300: 932 come. With windows of 5 and 250, which divide evenly, all come
# once.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    grain==0.2.18 numpy==2.4.6
fi

cat > program.py <<'PROGRAM'
import sys

import grain


def different(size, window):
    records = grain.MapDataset.range(size)
    shuffle = grain.experimental.WindowShuffleMapDataset
    order = list(shuffle(records, window_size=window, seed=1))
    assert len(order) == size
    print(f"{size} records, windows of {window}: {len(set(order))} different ones")
    return len(set(order))


even = different(10, 5), different(1_000, 250)
uneven = different(10, 4), different(1_000, 300)
if even != (10, 1_000) or uneven != (8, 932):
    sys.exit("CHANGED: expected all where windows divide evenly, else 8 and 932")
PROGRAM
"$python" program.py
