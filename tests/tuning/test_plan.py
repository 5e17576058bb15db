"""The same seed gives the same trials, however many run at once."""

import random

import pytest
from optuna.trial import TrialState, create_trial

from kerascale.tuning import planned, pruning, space

TEXTS = ("learning_rate=log:1e-4..1e-1", "units=[16,32 16]", "dropout=0..0.5")
COUNT = 24
CONCURRENCY = 4
EPOCHS = 9


@pytest.fixture(scope="module")
def dimensions(recipe):
    return space.parse(recipe.Config, TEXTS)


def _value(params, epoch):
    far = abs(params["learning_rate"] - 0.01) + params["dropout"]
    return far + 1.0 / epoch


def _play(dimensions, sampler, pruner, at_once, seed=3, known=None):
    """Trials that end in an order that is drawn. Returns their values and ends."""
    generator = random.Random(at_once)
    ended = {} if known is None else dict(known)
    plan = planned.Plan(
        dimensions, sampler, seed, "min", CONCURRENCY, lambda n: ended[n]
    )
    values, running = [], {}
    while len(values) < COUNT or running:
        number = len(values)
        has_room = len(running) < at_once and number < COUNT
        known_by_now = planned.is_known(number, CONCURRENCY, lambda n: n in ended)
        if has_room and known_by_now:
            values.append(plan.params(number))
            if number not in ended:
                running[number] = pruning.Pruning(
                    pruner, number, EPOCHS, "min", CONCURRENCY, lambda n: ended[n]
                )
            continue
        number = generator.choice(sorted(running))
        decisions, curve, goes_on = running.pop(number), {}, True
        for epoch in range(1, EPOCHS + 1):
            curve[epoch] = _value(values[number], epoch)
            goes_on = decisions.goes_on(epoch, curve[epoch])
            if not goes_on:
                break
        ended[number] = create_trial(
            state=TrialState.COMPLETE if goes_on else TrialState.PRUNED,
            value=min(curve.values()) if goes_on else None,
            intermediate_values=curve,
            user_attrs={pruning.RUNGS: decisions.rungs},
        )
    return values, {n: (t.state, len(t.intermediate_values)) for n, t in ended.items()}


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
@pytest.mark.parametrize("pruner", ["hyperband", "median"])
def test_the_same_trials_with_any_number_at_once(dimensions, sampler, pruner):
    alone = _play(dimensions, sampler, pruner, 1)
    for at_once in (2, CONCURRENCY):
        assert _play(dimensions, sampler, pruner, at_once) == alone
    kinds = {state for state, _ in alone[1].values()}
    assert kinds == {TrialState.COMPLETE, TrialState.PRUNED}
    assert _play(dimensions, sampler, pruner, 1, seed=4)[0] != alone[0]


def test_results_matter_to_tpe(dimensions):
    """Else a random search would pass for one."""
    tpe, random_ones = (_play(dimensions, s, "none", 1)[0] for s in ("tpe", "random"))
    assert tpe[:10] == random_ones[:10]
    assert tpe != random_ones

    def far(values):
        return sorted(_value(each, EPOCHS) for each in values[14:])[5]

    assert far(tpe) < far(random_ones)


def test_pruned_trials_are_those_that_are_worse(dimensions):
    values, ends = _play(dimensions, "random", "hyperband", 1)
    by_end = {state: [] for state in (TrialState.COMPLETE, TrialState.PRUNED)}
    for number, (state, _) in ends.items():
        by_end[state].append(_value(values[number], EPOCHS))
    mean = {state: sum(v) / len(v) for state, v in by_end.items()}
    assert mean[TrialState.COMPLETE] < mean[TrialState.PRUNED]


def test_a_grid_is_gone_through_once(recipe):
    dimensions = space.parse(recipe.Config, ["units=[1,2]", "batch_size=8..24/8"])
    ended = {}
    plan = planned.Plan(dimensions, "grid", 0, "min", 4, lambda n: ended[n])
    found = [tuple(plan.params(n).values()) for n in range(6)]
    assert sorted(found) == [(u, b) for u in ("1", "2") for b in (8, 16, 24)]
