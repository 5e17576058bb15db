#!/usr/bin/env bash
# optuna 5.0.0
#
# HyperbandPruner puts a trial into a bracket by a hash of the study's name and the
# trial's number. The same search with the same seed, sampler and values prunes other
# trials if only its study is called otherwise; one that is not named has a new random
# name each time, so that it cannot be repeated at all.
#
# Seen: 27 trials, whose values do not depend on anything, are pruned at other places
# under the names "a" and "b", and at the same ones again under "a". With a median pruner
# the name does not matter.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check optuna==5.0.0
fi

cat > program.py <<'PROGRAM'
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)


def searched(name, pruner):
    """The step after which each trial ended."""
    study = optuna.create_study(
        study_name=name, pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    ended = []

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        for step in range(1, 28):
            trial.report(x, step)
            if trial.should_prune():
                ended.append(step)
                raise optuna.TrialPruned
        ended.append(27)
        return x

    study.optimize(objective, n_trials=27)
    return ended


def hyperband():
    return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=27)


a, b, again = (searched(name, hyperband()) for name in ("a", "b", "a"))
median = [searched(name, optuna.pruners.MedianPruner()) for name in ("a", "b")]
print(a == again, a == b, median[0] == median[1])
PROGRAM
seen=$("$python" program.py)
echo "same name, other name, other name with a median pruner: the same trials pruned: $seen"
if [[ $seen != "True False True" ]]; then
  echo "CHANGED: expected True False True"
  exit 1
fi
