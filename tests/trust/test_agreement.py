"""PGD leaves the accuracy that the Adversarial Robustness Toolbox leaves."""

import pytest
from benchmarks import attacking, environments


@pytest.mark.slow
def test_pgd_leaves_what_theirs_leaves(tmp_path):
    try:
        environments.get("art")
    except environments.EnvironmentFailedError as error:
        pytest.skip(f"no environment can be made: {error}")
    for name, (ours, theirs) in attacking.compare(tmp_path).items():
        assert ours == pytest.approx(theirs, abs=0.01), name
