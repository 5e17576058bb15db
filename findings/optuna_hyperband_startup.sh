#!/usr/bin/env bash
# optuna 5.0.0
#
# The documentation of `HyperbandPruner` says that each bracket needs more than
# `n_startup_trials` trials of its own before `TPESampler` models anything: with 4
# brackets at least 4 x 10 are random. In fact the sampler counts the trials of all
# brackets, and models from trial 10 on, from results that other brackets cut short at
# other budgets.
#
# Seen (`gamma`, a public argument that is called with the number of trials that a model
# is made of; deprecated, not needed for this): first called at trial 10 with 10; at
# trial 39, the last, with 39.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    optuna==5.0.0 numpy==2.4.6
fi

cat > program.py <<'PROGRAM'
import sys
import warnings

import optuna

warnings.simplefilter("ignore")  # `gamma` is deprecated.
optuna.logging.set_verbosity(optuna.logging.ERROR)
counts = []


def gamma(num_trials):
    counts.append(num_trials)
    return max(1, num_trials // 10)


sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=10, gamma=gamma)
pruner = optuna.pruners.HyperbandPruner(
    min_resource=1, max_resource=27, reduction_factor=3
)
study = optuna.create_study(study_name="a", sampler=sampler, pruner=pruner)
asked = {}


def objective(trial):
    x = trial.suggest_float("x", -10, 10)
    asked[trial.number] = counts[-1] if counts else 0
    for step in range(1, 28):
        trial.report((x - 3) ** 2 + 1 / step, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return (x - 3) ** 2


study.optimize(objective, n_trials=40)
first = min(number for number, count in asked.items() if count)
print(f"first modelled: trial {first}, from {asked[first]} trials")
print(f"trial 39: from {asked[39]} trials")
if (first, asked[first], asked[39]) != (10, 10, 39):
    sys.exit("CHANGED: expected trial 10 from 10 trials, trial 39 from 39")
PROGRAM
"$python" program.py
