#!/usr/bin/env bash
# grain 0.2.18
#
# `ShardOptions(drop_remainder=False)` is to give the records that do not divide evenly
# to the first hosts. `DataLoader` with `IndexSampler` and that option leaves some out:
# of 10 records on 3 hosts each host reads 3, and one record is read by nobody. When
# more than one epoch is asked for, hosts also begin the second one within the first, so
# that after two epochs some records were read once and others twice.
#
# Seen: one epoch in order: hosts read 0 1 2, 4 5 6, 7 8 9; record 3 is missing. Two
# epochs, shuffled: 18 records read, 1 and 2 once, the others twice.

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
from collections import Counter

import grain


def read(num_epochs, shuffle):
    hosts = []
    for host in range(3):
        shard = grain.sharding.ShardOptions(host, 3, drop_remainder=False)
        sampler = grain.samplers.IndexSampler(
            num_records=10,
            shard_options=shard,
            shuffle=shuffle,
            num_epochs=num_epochs,
            seed=1,
        )
        source = grain.sources.RangeDataSource(0, 10, 1)
        loader = grain.DataLoader(data_source=source, sampler=sampler)
        hosts.append([int(record) for record in loader])
    return hosts


one = read(1, False)
two = Counter(record for host in read(2, True) for record in host)
print(f"one epoch: {one}")
print(f"two epochs: times read {dict(sorted(two.items()))}")
once = sorted(record for record in range(10) if two[record] == 1)
if one != [[0, 1, 2], [4, 5, 6], [7, 8, 9]] or once != [1, 2]:
    sys.exit("CHANGED: expected record 3 to be missing, and 1 and 2 read once of two")
PROGRAM
"$python" program.py
