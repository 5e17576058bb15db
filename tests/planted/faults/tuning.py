"""Faults of searches and of cross-validation."""

from ..fault import Fault

FAULTS = (
    Fault(
        "a-trial-is-chosen-by-whatever-is-known",
        "tuning/planned.py",
        "told = number - self._concurrency",
        "told = number - 1",
        ("test_plan.py::test_the_same_trials_with_any_number_at_once",),
    ),
    Fault(
        "a-pruner-sees-trials-that-had-not-ended",
        "tuning/pruning.py",
        "is_known = other <= number - concurrency",
        "is_known = other < number",
        ("test_plan.py::test_the_same_trials_with_any_number_at_once",),
    ),
    Fault(
        "results-are-not-told-to-the-sampler",
        "tuning/planned.py",
        "if told >= 0 and not self._is_blind:",
        "if told >= 10**6:",
        ("test_plan.py::test_results_matter_to_tpe",),
    ),
    Fault(
        "the-end-of-a-range-with-steps-is-never-tried",
        "tuning/space.py",
        "count = int((self.high - self.low) / step + 1e-9) + 1",
        "count = int((self.high - self.low) / step + 1e-9)",
        ("test_space.py::test_ranges_and_choices",),
    ),
    Fault(
        "a-trial-in-flight-is-lost",
        "tuning/study.py",
        "running = trial.state == TrialState.RUNNING",
        "running = trial.state == TrialState.WAITING",
        (
            "test_study.py::test_a_trial_whose_process_ended_is_taken_again_with_its_values",
        ),
    ),
    Fault(
        "a-trial-is-run-twice",
        "tuning/study_folder.py",
        "        except filelock.Timeout:\n            return False",
        "        except filelock.Timeout:\n            return True",
        (
            "test_study.py::test_two_processes_have_different_trials_until_there_are_no_more",
        ),
    ),
    Fault(
        "a-search-looks-at-the-test-examples",
        "tuning/jobs.py",
        "datasets = _without_test(make_datasets(recipe, config))",
        "datasets = make_datasets(recipe, config)",
        ("test_search.py::test_a_trial_is_the_run_that_it_is_alone",),
    ),
    Fault(
        "the-winner-is-trained-on-no-more",
        "tuning/winner.py",
        '"hold_out_validation": False',
        '"hold_out_validation": True',
        ("test_search.py::test_the_winner_is_trained_on_more_and_tested",),
    ),
    Fault(
        "workers-of-one-trial-are-told-different-things",
        "tuning/crew.py",
        "        for rank, asked in list(self._asking.items()):\n"
        "            self._answer(rank, asked)",
        "        for rank in list(self._asking):\n"
        '            self.members[rank].send({"goes_on": True})',
        ("test_crew.py::test_all_do_what_the_first_is_told",),
    ),
    Fault(
        "a-trial-has-ended-when-one-of-its-workers-has",
        "tuning/crew.py",
        "if len(self._ended) == len(self.members):",
        "if len(self._ended) >= 1 and 0 in self._ended:",
        ("test_crew.py::test_a_job_has_ended_when_it_has_for_all",),
    ),
    Fault(
        "the-variance-of-folds-is-not-corrected",
        "tuning/corrected_t_test.py",
        "(1 / count + ratio)",
        "(1 / count)",
        ("test_corrected_t_test.py::test_the_statistic_is_that_of_the_paper",),
    ),
)
