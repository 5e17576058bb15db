"""The search itself: trials are claimed, given to workers, and told."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from kerascale.errors import RefusedError, StoppedError
from kerascale.runtime import interrupts
from kerascale.runtime.console import counted, duration, say
from kerascale.tuning import asking
from kerascale.tuning.crew import Crew
from kerascale.tuning.pool import Pool
from kerascale.tuning.pruning import Pruning
from kerascale.tuning.study import Study
from kerascale.tuning.wishes import Ended, Search

# Between two looks at what other processes have done.
_LOOK_SECONDS = 0.2
# How often a trial goes on whose process was killed from outside.
_MOST_DEATHS = 3


@dataclasses.dataclass
class _Running:
    """A trial that a worker has."""

    trial: FrozenTrial
    pruning: Pruning
    deaths: int = 0


def check(pool: Pool, search: Search) -> list[str]:
    """What is wrong with data, model or objective of a search.

    Args:
        pool: Its first worker looks, and stays.
        search: The search.
    """
    fields = search.fields({d.name: _example(d) for d in search.dimensions})
    job = {
        "do": "check",
        "recipe": search.recipe.source,
        "fields": fields,
        "objective": search.objective.name,
        "strategy": search.strategy,
    }
    try:
        asking.ask(pool, job)
    except RefusedError as error:
        return error.problems
    except asking.JobFailedError as error:
        return [f"tune: {error}"]
    return []


class Searching:
    """A search that is going on in this process.

    Args:
        study: The study.
        pool: Its workers.
        trials: How many trials the study is to have.
        jobs: How many trials this process runs at once.
    """

    def __init__(self, study: Study, pool: Pool, trials: int, jobs: int) -> None:
        self._study = study
        self._pool = pool
        self._trials = trials
        self._jobs = jobs
        self._began = time.monotonic()
        self._ended_here = 0

    def run(self) -> None:
        """Returns when the study has its trials, all of which have ended.

        Raises:
            StoppedError: If a signal asked to stop; trials that were running go on
                with the same command.
        """
        with interrupts.between_steps():
            while True:
                if interrupts.requested():
                    self._pool.stop()
                    raise StoppedError(None)
                has_given = self._give()
                if not self._pool.busy and not has_given and self._is_done():
                    return
                seconds = _LOOK_SECONDS if self._waits() else 1.0
                if not self._pool.busy:
                    time.sleep(_LOOK_SECONDS)
                for worker in self._pool.wait(seconds if self._pool.busy else 0):
                    self._hear(worker)

    def _waits(self) -> bool:
        return len(self._pool.busy) < self._jobs

    def _is_done(self) -> bool:
        """Whether there is nothing to do, and nothing to wait for."""
        trials = self._study.trials()
        return len(trials) >= self._trials and all(
            t.state.is_finished() for t in trials
        )

    def _give(self) -> bool:
        """Gives each worker that waits a trial, as far as there are some."""
        given = False
        while len(self._pool.busy) < self._jobs:
            trial = self._study.claim(self._trials)
            if trial is None:
                break
            search = self._study.search
            pruning = Pruning(
                search.pruner,
                trial.number,
                search.steps,
                search.objective.mode,
                search.concurrency,
                self._study.result,
            )
            self._start(_Running(trial, pruning))
            given = True
        return given

    def _start(self, running: _Running) -> None:
        search, folder = self._study.search, self._study.folder
        worker, number = self._pool.free(), running.trial.number
        searched = dict.fromkeys((d.name for d in search.dimensions), "command line")
        worker.give(
            running,
            {
                "do": "trial",
                "recipe": search.recipe.source,
                "fields": search.fields(running.trial.params),
                "objective": search.objective.name,
                "strategy": search.strategy,
                "told": {**search.told, **searched},
                "run_dir": str(folder.trial(number)),
                "log": str(folder.log(number)),
            },
        )

    def _hear(self, worker: Crew) -> None:
        running: _Running | None = worker.job
        messages = worker.received()
        if messages is None:
            how = self._pool.remove(worker)
            if running is not None:
                self._died(running, how)
            return
        for message in messages:
            if running is not None:
                self._take(worker, running, message)

    def _died(self, running: _Running, how: str) -> None:
        """A worker was killed, by a lack of memory or from outside."""
        running.deaths += 1
        number = running.trial.number
        if running.deaths < _MOST_DEATHS:
            say(f"trial {number}: its process ended ({how}); it goes on in another")
            self._start(running)
            return
        reason = f"its process ended {running.deaths} times ({how})"
        self._tell(running, Ended("failed", reason=reason), 0.0)

    def _take(self, worker: Crew, running: _Running, message: dict[str, Any]) -> None:
        kind = message["is"]
        if kind == "reached":
            step, value = message["step"], message["value"]
            self._study.report(running.trial, step, value)
            worker.send({"goes_on": running.pruning.goes_on(step, value)})
            return
        worker.job = None
        if kind == "stopped":  # By somebody else's signal.
            self._died(running, "stopped by a signal")
            return
        if kind == "complete":
            for step, value in enumerate(message.get("values", ()), 1):
                # Those of a run that was whole when its process was killed.
                self._study.report(running.trial, step, value)
                running.pruning.goes_on(step, value)
            score = message["score"]
            ended = Ended("complete", score, best_epoch=message.get("best_epoch"))
            if math.isnan(score):
                ended = Ended("failed", reason="its score is not a number")
        elif kind == "pruned":
            ended = Ended("pruned")
        else:
            ended = Ended("failed", reason=message["reason"])
        self._tell(running, ended, message.get("seconds", 0.0))

    def _tell(self, running: _Running, ended: Ended, seconds: float) -> None:
        self._study.tell(running.trial, ended, running.pruning.rungs)
        self._ended_here += 1
        say(self._line(running.trial, ended, seconds))

    def _line(self, trial: FrozenTrial, ended: Ended, seconds: float) -> str:
        search = self._study.search
        values = " ".join(f"{n}={_short(v)}" for n, v in trial.params.items())
        trials = self._study.trials()
        if ended.kind == "failed":
            what = f"FAILED: {ended.reason}"
        elif ended.kind == "pruned":
            steps = trials[trial.number].intermediate_values
            unit = "fold" if search.folds else "epoch"
            what = f"pruned after {counted(len(steps), unit)}"
        else:
            what = f"{search.objective.name} {ended.score:.4g}"
            best = best_of(trials, search.objective.mode)
            what += " (best)" if best and best.number == trial.number else ""
        done = sum(t.state.is_finished() for t in trials)
        took = f", {duration(seconds)}" if seconds else ""
        left = ""
        if done < self._trials:
            pace = (time.monotonic() - self._began) / self._ended_here
            left = f", {duration(pace * (self._trials - done))} left"
        counted_off = f"{done} of {self._trials}{left}"
        return f"trial {trial.number}: {values}: {what}{took}; {counted_off}"


def best_of(trials: list[FrozenTrial], mode: str) -> FrozenTrial | None:
    """The complete trial with the best score; of equal ones the first."""
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    if not complete:
        return None
    pick: Callable[..., Any] = min if mode == "min" else max
    return pick(complete, key=lambda trial: trial.value)


def _example(dimension: Any) -> Any:
    """What Optuna would call the first value."""
    return dimension.listed[0] if dimension.choices else dimension.low


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@contextlib.contextmanager
def refusing(problems: list[str]) -> Any:
    """Adds what is refused within it to a list."""
    try:
        yield
    except RefusedError as error:
        problems += error.problems
