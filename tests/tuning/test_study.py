"""A study that several processes use: no trial is lost, and none is run twice."""

import dataclasses
import json

import filelock
import pytest

from kerascale.errors import RefusedError
from kerascale.tuning import space, study_folder
from kerascale.tuning.study import Study, reason_of
from kerascale.tuning.study_folder import StudyFolder
from kerascale.tuning.wishes import Ended, Search

MOST = 3


@pytest.fixture
def search(recipe):
    dimensions = space.parse(recipe.Config, ["learning_rate=0.1..0.2", "units=[4,8]"])
    return Search(recipe, recipe.Config(epochs=2), dimensions, sampler="random")


@pytest.fixture
def open_study(search, tmp_path):
    """Opens the study as another process would."""

    def open_it(own=search, **kwargs):
        return Study(own, StudyFolder(tmp_path / "study"), **kwargs)

    return open_it


def test_two_processes_have_different_trials_until_there_are_no_more(open_study):
    one, other = open_study(), open_study()
    first, second, third = one.claim(MOST), other.claim(MOST), one.claim(MOST)
    assert [t.number for t in (first, second, third)] == [0, 1, 2]
    assert other.claim(MOST) is None
    one.tell(first, Ended("complete", 0.5, best_epoch=2), {})
    other.tell(second, Ended("failed", reason="it was bad"), {})
    states = [trial.state.name for trial in other.trials()]
    assert states == ["COMPLETE", "FAIL", "RUNNING"]
    assert reason_of(one.trials()[1]) == "it was bad"
    assert one.claim(MOST) is None


def test_a_trial_whose_process_ended_is_taken_again_with_its_values(open_study):
    dead = open_study()
    trial = dead.claim(MOST)
    dead.report(trial, 1, 0.75)
    assert open_study().claim(MOST).number == 1
    dead.folder.release(0)  # As the system does it for a process that was killed.
    again = open_study().claim(MOST)
    assert (again.number, again.params) == (0, trial.params)
    assert again.intermediate_values == {1: 0.75}


def test_a_trial_that_was_killed_before_it_had_values_gets_its_own(open_study):
    study = open_study()
    undisturbed = [study.plan.params(n) for n in range(MOST)]
    study._study.ask()  # Killed before more was written, and before the claim.
    trial = open_study().claim(MOST)
    assert (trial.number, trial.params) == (0, undisturbed[0])


def test_a_claim_ends_with_its_process(open_study, run_python):
    study = open_study()
    trial = study.claim(MOST)
    lock = study.folder.path / "trials" / f".{trial.number:04d}.lock"
    code = "import filelock, sys; filelock.FileLock(sys.argv[1]).acquire(timeout=0)"
    assert run_python(code, str(lock), check=False).returncode != 0
    study.folder.release(trial.number)
    run_python(code, str(lock))  # It ends without letting go.
    with filelock.FileLock(lock).acquire(timeout=0):
        pass


def test_a_study_half_made_is_made_anew(open_study, tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "study.db").write_bytes(b"half of a database")
    assert open_study().claim(MOST).number == 0


def test_a_study_of_another_search_is_refused(open_study, search, tmp_path):
    open_study()
    folder = tmp_path / "study"
    assert study_folder.check(folder, search) == []
    longer = dataclasses.replace(
        search, config=dataclasses.replace(search.config, epochs=9), sampler="tpe"
    )
    said = "\n".join(study_folder.check(folder, longer))
    assert "sampler: expected 'random'" in said
    assert "fields epochs: expected 2" in said
    content = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps({**content, "recipe": "cnn"}))
    (said,) = study_folder.check(folder, search)
    assert "is a study of the recipe 'cnn'. Received: 'mlp'" in said


def test_a_database_that_cannot_be_opened_is_refused(open_study):
    url = "nosuchdatabase://anna:secret@host/name"
    with pytest.raises(RefusedError, match="--storage: expected the URL") as refused:
        open_study(storage=url)
    assert "secret" not in str(refused.value)
