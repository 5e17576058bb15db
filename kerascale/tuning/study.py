"""A study in a database: trials are claimed once, and results are told once."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from kerascale.errors import RefusedError
from kerascale.tuning import study_folder
from kerascale.tuning.planned import Plan, Planned, distribution, is_known
from kerascale.tuning.pruning import RUNGS
from kerascale.tuning.study_folder import StudyFolder
from kerascale.tuning.wishes import Ended, Search

# What Optuna raises where a database fails.
StorageFailedError = optuna.exceptions.StorageInternalError

_IDENTITY = "kerascale"
_REASON = "reason"
_BEST_EPOCH = "best_epoch"
_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
# For others who write into the same SQLite file.
_BUSY_SECONDS = 120


class Study:
    """A search, with what is known of its trials.

    Args:
        search: What is searched.
        folder: Its folder.
        storage: A URL that Optuna takes; None: SQLite in the folder.

    Raises:
        RefusedError: If the database cannot be had, or has another search.
    """

    def __init__(
        self, search: Search, folder: StudyFolder, storage: str | None = None
    ) -> None:
        self.search = search
        self.folder = folder
        self.is_shared = storage is not None
        url = storage or folder.database()
        self._ended: dict[int, FrozenTrial] = {}
        objective = search.objective
        self.plan = Plan(
            search.dimensions,
            search.sampler,
            search.seed,
            objective.mode,
            search.concurrency,
            self.result,
        )
        with folder.alone(), warnings.catch_warnings(action="ignore"):
            if storage is None and not folder.is_begun():
                # One that was left half made: no trial can be in it.
                for path in folder.path.glob("study.db*"):
                    path.unlink()
            with _connecting(url):
                self._study = optuna.create_study(
                    storage=_storage(url),
                    study_name=f"kerascale-{search.recipe.name}-{search.name()}",
                    sampler=Planned(self.plan),
                    pruner=optuna.pruners.NopPruner(),
                    direction="minimize" if objective.mode == "min" else "maximize",
                    load_if_exists=True,
                )
                before = self._study.user_attrs.get(_IDENTITY)
                if before is None:
                    self._study.set_user_attr(_IDENTITY, search.identity())
            if before is not None:
                problems = study_folder.differences(
                    before, search.identity(), "its database"
                )
                if problems:
                    raise RefusedError(problems, heading="tune")
            if not folder.is_begun():
                folder.write_identity(search)

    def trials(self) -> list[FrozenTrial]:
        """All trials, by their numbers."""
        found = self._study.get_trials(deepcopy=False)
        for trial in found:
            if trial.state.is_finished():
                self._ended[trial.number] = trial
        return found

    def result(self, number: int) -> FrozenTrial:
        """The ended trial of a number."""
        if number not in self._ended:
            self.trials()
        return self._ended[number]

    def claim(self, most: int) -> FrozenTrial | None:
        """A trial to run: one that nobody runs any more, else a new one.

        Args:
            most: How many trials the study is to have.

        Returns:
            None where there is none, or none yet.
        """
        with self.folder.alone():
            trials = self.trials()
            for trial in trials:
                running = trial.state == TrialState.RUNNING
                if running and not self.folder.has(trial.number):
                    if self.folder.claim(trial.number):
                        return self._filled(trial._trial_id)
            number = len(trials)
            if number >= most or not self._is_known(number):
                return None
            trial = self._study.ask()
            if not self.folder.claim(number):
                raise RuntimeError(
                    f"{self.folder.path}: expected to begin trial {number}. Received: "
                    "one that another process has. Is the folder that of its database?"
                )
            return self._filled(trial._trial_id)

    def _is_known(self, number: int) -> bool:
        if self.search.is_free:
            return True
        ended, most = self._ended, self.search.concurrency
        return is_known(number, most, lambda other: other in ended)

    def _filled(self, trial_id: int) -> FrozenTrial:
        """A trial with its values: one that was killed in between may lack some."""
        trial = optuna.trial.Trial(self._study, trial_id)
        with warnings.catch_warnings(action="ignore"):
            for each in self.search.dimensions:
                found = distribution(each)
                if each.choices:
                    trial.suggest_categorical(each.name, found.choices)
                elif each.is_integer:
                    trial.suggest_int(
                        each.name, found.low, found.high, step=found.step, log=found.log
                    )
                else:
                    trial.suggest_float(
                        each.name, found.low, found.high, step=found.step, log=found.log
                    )
        return self._study.get_trials(deepcopy=False)[trial.number]

    def report(self, trial: FrozenTrial, step: int, value: float) -> None:
        """Notes what a trial has reached; what was noted before stays."""
        with warnings.catch_warnings(action="ignore"):
            optuna.trial.Trial(self._study, trial._trial_id).report(value, step)

    def tell(self, trial: FrozenTrial, ended: Ended, rungs: dict[str, float]) -> None:
        """Notes how a trial has ended, and lets it go."""
        handle = optuna.trial.Trial(self._study, trial._trial_id)
        if rungs:
            handle.set_user_attr(RUNGS, rungs)
        if ended.reason:
            handle.set_user_attr(_REASON, ended.reason)
        if ended.best_epoch is not None:
            handle.set_user_attr(_BEST_EPOCH, ended.best_epoch)
        is_complete = ended.kind == "complete"
        with warnings.catch_warnings(action="ignore"):
            self._study.tell(
                trial.number,
                ended.score if is_complete else None,
                state=_STATES[ended.kind],
            )
        self.folder.release(trial.number)

    def importances(self) -> dict[str, float]:
        """Field -> share of what decided the score; empty where too few are known."""
        complete = [t for t in self.trials() if t.state == TrialState.COMPLETE]
        if len(complete) < 4 or len({t.value for t in complete}) < 2:
            return {}
        with (
            warnings.catch_warnings(action="ignore"),
            contextlib.suppress(ValueError, RuntimeError, ZeroDivisionError),
        ):
            return dict(optuna.importance.get_param_importances(self._study))
        return {}


def reason_of(trial: FrozenTrial) -> str:
    """Why a trial failed."""
    return trial.user_attrs.get(_REASON, "")


def best_epoch_of(trial: FrozenTrial) -> int | None:
    """From 1: the epoch with a trial's score."""
    return trial.user_attrs.get(_BEST_EPOCH)


def _storage(url: str) -> Any:
    settings = {}
    if url.startswith("sqlite"):
        settings = {"connect_args": {"timeout": _BUSY_SECONDS}}
    else:
        settings = {"pool_pre_ping": True}
    return optuna.storages.RDBStorage(url, engine_kwargs=settings)


@contextlib.contextmanager
def _connecting(url: str) -> Iterator[None]:
    """What a database raises is refused in words."""
    import sqlalchemy

    try:
        yield
    except (
        ImportError,
        sqlalchemy.exc.SQLAlchemyError,
        optuna.exceptions.StorageInternalError,
        RuntimeError,
    ) as error:
        safe = sqlalchemy_url(url)
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise RefusedError(
            "--storage: expected the URL of a database that Optuna can open, such as "
            "postgresql+psycopg2://user@host/name, whose driver is installed. "
            f"Received: {safe} ({cause:.200})."
        ) from error


def sqlalchemy_url(url: str) -> str:
    """A URL without its password."""
    import sqlalchemy

    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return repr(url)
