"""Where each value came from is told as it was."""

import pytest

from kerascale import config
from kerascale.config import provenance


def test_flags_the_file_and_defaults_are_told_apart():
    asked = config.TrainingConfig(epochs=7, batch_size=16)
    told = {"epochs": provenance.COMMAND_LINE, "batch_size": provenance.FILE}
    origins = provenance.find(asked, asked, told)
    assert origins["epochs"] == "command line"
    assert origins["batch_size"] == "file"
    assert origins["seed"] == "default"


@pytest.mark.parametrize("told", [None, {}])
def test_what_a_run_has_chosen_by_itself_is_automatic(told):
    asked = config.TrainingConfig()
    chosen = config.TrainingConfig(execution="split", steps_per_execution=4)
    origins = provenance.find(asked, chosen, told)
    assert origins["execution"] == origins["steps_per_execution"] == "automatic"
    assert origins["learning_rate"] == "default"
