"""`kerascale federated RECIPE`: rounds of clients in processes of their own."""

import csv
import json
import os
import sys

import numpy as np
import pytest

import kerascale as ks
from kerascale.trust.federated import frames, noise, partition, processes
from kerascale.trust.federated.averaging import Server
from kerascale.trust.federated.federation import Federation

LABELS = np.random.default_rng(0).integers(0, 10, 1000)


@pytest.mark.parametrize("text", ["iid", "dirichlet:0.1", "shards:2"])
def test_every_example_has_one_client(text):
    parts = partition.divided(text, LABELS, 1000, 12, seed=4)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(1000))
    assert min(map(len, parts)) >= 1
    again = partition.divided(text, LABELS, 1000, 12, seed=4)
    assert all(map(np.array_equal, parts, again))
    other = partition.divided(text, LABELS, 1000, 12, seed=5)
    assert not all(map(np.array_equal, parts, other))


def test_partitions_are_as_uneven_as_they_say():
    def classes(text):
        parts = partition.divided(text, LABELS, 1000, 10, seed=0)
        return np.mean([np.unique(LABELS[part]).size for part in parts])

    assert classes("iid") > 9.8 > classes("dirichlet:0.3") > classes("shards:2")
    assert classes("shards:2") < 4.5


def test_what_cannot_be_is_said_at_once():
    with pytest.raises(ks.RefusedError) as error:
        Federation(partition="dirichlet:-1", client_noise=1.0, participation=0.5)
    text = str(error.value)
    assert "dirichlet:ALPHA, above 0" in text
    assert "client_clip=None" in text
    assert "client_delta=None" in text
    for text in ("even", "iid:2", "shards:x", "dirichlet:nan"):
        with pytest.raises(ks.RefusedError, match="partition: expected"):
            Federation(partition=text)
    with pytest.raises(ks.RefusedError, match="participation: expected"):
        Federation(participation=0.0)
    with pytest.raises(ks.RefusedError, match="at most the 5 training examples"):
        partition.divided("iid", None, 5, 6, seed=0)
    with pytest.raises(ks.RefusedError, match="client_delta: expected only with"):
        Federation(client_delta=1e-5)


def test_wrong_arguments_of_the_command(kerascale):
    done = kerascale("federated", "mlp", "--partition", "even", "--client-noise", "1")
    assert done.returncode == 2
    assert "partition: expected iid" in done.stderr
    assert "client_clip" in done.stderr
    done = kerascale("federated", "mlp", "--clients", "5000", "--rounds", "1")
    assert done.returncode == 2
    assert "training examples" in done.stderr


KINDS = {"w": "trained", "mean": "statistic", "n": "counter", "seed": "kept"}


def _server(**options):
    weights = {
        "w": np.array([1.0, 2.0]),
        "mean": np.array([0.5]),
        "n": np.array(10),
        "seed": np.array(7),
    }
    return Server(KINDS, weights, **options)


def _answer(w, mean, n):
    return {
        "w": np.array(w), "mean": np.array([mean]), "n": np.array(n),
        "seed": np.array(99),
    }  # fmt: skip


def test_each_kind_of_variable_is_averaged_as_it_should_be():
    answers = [_answer([2.0, 2.0], 1.0, 14), _answer([4.0, 6.0], 2.0, 18)]
    plain = _server()
    plain.update(answers, [0.75, 0.25])
    np.testing.assert_allclose(plain.weights["w"], [2.5, 3.0])
    np.testing.assert_allclose(plain.weights["mean"], [1.25])
    assert plain.weights["n"] == 15
    assert plain.weights["seed"] == 7
    adam = _server(rate=0.1, adaptive=True)
    for _ in range(5):
        adam.update(answers, [0.75, 0.25])
    # The statistic is the mean, whatever Adam does; it stays above zero.
    np.testing.assert_allclose(adam.weights["mean"], [1.25])
    assert (adam.weights["w"] > [1.0, 2.0]).all()


def test_changes_are_clipped_and_an_unchanged_client_counts_as_nothing():
    clipped = _server(clip=1.0)
    unchanged = _answer([1.0, 2.0], 0.5, 10)
    clipped.update([_answer([1.0, 12.0], 0.5, 10), unchanged], [0.5, 0.5])
    np.testing.assert_allclose(clipped.weights["w"], [1.0, 2.5])
    federation = Federation(
        clients=2, client_clip=1.0, client_noise=3.0, client_delta=0.1,
        client_noise_seed=0,
    )  # fmt: skip
    weights = {"w": np.zeros(4000)}
    rng = noise.generator(federation, 0)
    drawn = noise.noise(federation, {"w": "trained"}, weights, rng)["w"]
    assert abs(drawn.std() / (3.0 / 2) - 1) < 0.05


def test_messages_arrive_as_they_were(tmp_path):
    arrays = {"a/b": np.arange(6, dtype="int8").reshape(2, 3), "c": np.float64(2.5)}
    with (tmp_path / "pipe").open("wb") as file:
        frames.write(file, {"round": 3}, arrays)
    with (tmp_path / "pipe").open("rb") as file:
        message, found = frames.read(file)
        assert message == {"round": 3}
        assert found["a/b"].dtype == "int8"
        assert found["c"] == 2.5
        with pytest.raises(EOFError):
            frames.read(file)


SETTINGS = {"units": (8,), "batch_size": 32, "dropout": 0.1}
FEDERATION = {"clients": 4, "partition": "dirichlet:0.5", "rounds": 3}


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("federated") / "run"
    config = recipe.Config(**SETTINGS)
    return ks.federated(recipe, config, run_dir=folder, **FEDERATION)


def _same(run, other):
    for a, b in zip(run.model.weights, other.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_is_a_run_like_any_other(trained, tmp_path):
    with (trained.path / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    assert len(history) == 3
    assert float(history[-1]["clients"]) == 4
    said = json.loads((trained.path / "federated.json").read_text())
    assert sum(said["examples"]) == trained.info.num_examples["train"]
    loaded = ks.load_run(trained.path)
    assert loaded.metrics["accuracy"] == trained.metrics["accuracy"]
    _same(loaded, trained)
    assert ks.export_saved_model(loaded, tmp_path / "served").is_dir()


@pytest.mark.slow
def test_any_number_of_processes_and_an_interruption(recipe, trained, tmp_path):
    config, folder = recipe.Config(**SETTINGS), tmp_path / "run"
    ks.federated(
        recipe, config, run_dir=folder, processes=3, **{**FEDERATION, "rounds": 2}
    )
    with pytest.raises(ks.RefusedError, match="clients: expected 4, as in the run"):
        ks.federated(recipe, config, run_dir=folder, **{**FEDERATION, "clients": 5})
    whole = ks.federated(recipe, config, run_dir=folder, processes=2, **FEDERATION)
    _same(whole, trained)
    assert whole.history == trained.history


@pytest.mark.parametrize("count", [1, 3])
def test_clients_that_give_no_answer_drop_out(count, tmp_path, monkeypatch):
    """Killed, failed or late: the round goes on, and the next has new processes."""
    monkeypatch.setattr(processes, "_MODULE", "helpers.fake_client")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    weights = {"w": np.zeros(3)}
    with processes.Processes({}, count, tmp_path / "log") as running:
        for number in range(2):
            answers, dropped = running.round(range(6), number, weights, 3.0)
            assert sorted(answers) == [3, 4, 5]
            np.testing.assert_array_equal(answers[4][0]["w"], [4.0] * 3)
            assert dropped == {
                0: "its process ended: killed by SIGKILL",
                1: "ValueError: no",
                2: "no answer within 3 s",
            }


_LAW = '''
import dataclasses
import keras
keras.config.set_floatx("float64")
import kerascale as ks
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ks.TrainingConfig):
    """Linear."""
def make_datasets(config):
    return ks.datasets.from_config(config, kinds=("image",))
def make_model(config, datasets):
    model = keras.Sequential([
        keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 16), keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax", kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(config.learning_rate),
                  "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
'''


@pytest.mark.slow
def test_one_local_step_of_all_is_a_step_on_the_whole(kerascale, tmp_path):
    """In float64: full participation, and each client's examples in one batch."""
    (tmp_path / "linear.py").write_text('"""Linear."""\n' + _LAW)
    flags = ("--batch-size", "2000", "--learning-rate", "0.5", "--json")
    kerascale(
        "federated", "./linear.py", *flags, "--clients", "7", "--rounds", "5",
        "--partition", "dirichlet:0.3", "--local-steps", "1", "--run-dir", "many",
    )  # fmt: skip
    kerascale(
        "train", "./linear.py", *flags, "--epochs", "5", "--schedule", "constant",
        "--execution", "fixed", "--run-dir", "one",
    )  # fmt: skip
    histories = []
    for name in ("many", "one"):
        with (tmp_path / name / "history.csv").open() as file:
            histories.append([float(r["val_loss"]) for r in csv.DictReader(file)])
    np.testing.assert_allclose(*histories, rtol=1e-12)


@pytest.mark.slow
def test_user_level_privacy_has_a_price(recipe, tmp_path):
    pytest.importorskip("dp_accounting")
    config = recipe.Config(**{**SETTINGS, "dropout": 0.0})
    run = ks.federated(
        recipe, config, run_dir=tmp_path / "run", clients=20, rounds=3,
        participation=0.3, client_clip=0.5, client_noise=1.0, client_delta=1e-2,
        client_noise_seed=1,
    )  # fmt: skip
    assert run.metrics["client_epsilon"] == run.history["client_epsilon"][-1] > 0
    assert len(set(run.history["clients"])) > 1
