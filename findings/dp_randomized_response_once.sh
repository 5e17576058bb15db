#!/usr/bin/env bash
# dp-accounting 0.6.0
#
# `PLDAccountant.compose(event, count)` and `SelfComposedDpEvent` count a
# `RandomizedResponseDpEvent` once, whatever the count is: ten answers are said to cost
# what one costs. The same ten as a `ComposedDpEvent` of ten events cost ten times as
# much. A Gaussian event is composed correctly either way.
#
# Seen: randomized response with noise 0.2 and two answers, delta 1e-6: epsilon 2.197
# for one, 2.197 for ten by count, 21.973 for ten in a list. (ln 9 = 2.197.)

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    dp-accounting==0.6.0 numpy==2.4.6
fi

cat > program.py <<'PROGRAM'
import sys

import dp_accounting
from dp_accounting.pld import PLDAccountant


def epsilon(event, count=1):
    relation = dp_accounting.NeighboringRelation.REPLACE_ONE
    accountant = PLDAccountant(relation)
    accountant.compose(event, count)
    return accountant.get_epsilon(1e-6)


answer = dp_accounting.dp_event.RandomizedResponseDpEvent(0.2, 2)
noise = dp_accounting.GaussianDpEvent(1.0)
one, counted = epsilon(answer), epsilon(answer, 10)
selves = epsilon(dp_accounting.SelfComposedDpEvent(answer, 10))
listed = epsilon(dp_accounting.ComposedDpEvent([answer] * 10))
gaussian = epsilon(noise, 10), epsilon(dp_accounting.ComposedDpEvent([noise] * 10))
print(f"one {one:.3f}; ten: count {counted:.3f}, self {selves:.3f}, list {listed:.3f}")
print(f"Gaussian, ten: count {gaussian[0]:.3f}, list {gaussian[1]:.3f}")
right = abs(listed - 10 * one) < 0.01 and abs(gaussian[0] - gaussian[1]) < 0.01
if not right or abs(counted - one) > 1e-6 or abs(selves - one) > 1e-6:
    sys.exit("CHANGED: expected ten by count to cost what one does")
PROGRAM
"$python" program.py
