#!/usr/bin/env bash
# fairlearn 0.15.0
#
# A group that has no positive example has no rate of true positives. fairlearn takes it
# for 0. An answer that is right for every person then has the largest difference of
# equalised odds that there is, as if one group were never found.
#
# Seen: right answers for groups a (two positives, two negatives) and b (two negatives)
# have an equalised odds difference of 1.0.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    fairlearn==0.15.0 scikit-learn==1.9.1 numpy==2.4.6
fi

cat > program.py <<'PROGRAM'
from fairlearn.metrics import equalized_odds_difference

truth = [1, 1, 0, 0, 0, 0]
groups = list("aaaabb")
print(equalized_odds_difference(truth, truth, sensitive_features=groups))
PROGRAM
seen=$("$python" program.py 2>program.log || { cat program.log >&2; exit 1; })
echo "equalised odds difference of answers that are all right: $seen"
if [[ $seen != "1.0" ]]; then
  echo "CHANGED: expected 1.0"
  exit 1
fi
