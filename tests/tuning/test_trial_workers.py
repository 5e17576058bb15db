"""`kerascale tune --workers 2`: each trial under several processes."""

import json

import pytest

SEARCH = (
    *("tune", "mlp", "--field", "learning_rate=log:1e-4..1e-1", "--epochs", "3"),
    *("--workers", "2", "--pruner", "median", "--study", "study", "--json"),
)


@pytest.mark.slow
def test_trials_of_two_workers(kerascale, tmp_path):
    """More trials of the same study are other processes, and the same numbers."""
    ends = []
    for folder in ("whole", "halves"):
        (tmp_path / folder).mkdir()
        for trials in ("3",) if folder == "whole" else ("1", "3"):
            found = kerascale(*SEARCH, "--trials", trials, cwd=tmp_path / folder)
            assert found.returncode == 0, found.stderr
        ends.append(json.loads(found.stdout.splitlines()[-1])["trials"])
        run = tmp_path / folder / "study" / "trials" / "0000" / "config.json"
        assert '"workers": 2' in run.read_text()
    assert ends[0] == ends[1]
    assert [trial["kind"] for trial in ends[0]].count("failed") == 0


def test_what_several_workers_cannot_do_is_refused_at_once(kerascale, tmp_path):
    more = ("--folds", "3", "--strategy", "mirrored")
    refused = kerascale(*SEARCH, *more, cwd=tmp_path)
    assert refused.returncode == 2
    assert "--workers: expected 1 with --folds. Received: 2" in refused.stderr
    assert "--strategy: expected auto with --workers" in refused.stderr
    assert not (tmp_path / "study").exists()
