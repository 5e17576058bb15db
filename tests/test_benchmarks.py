"""The benchmarks' own logic: figures, protocol, workloads. No framework is loaded."""

import argparse
import json
import math
import sys
import time

import numpy as np
import pytest
from benchmarks import __main__ as command
from benchmarks import (
    checkpointing,
    contenders,
    environments,
    mesh,
    networks,
    report,
    rounds,
    scaling,
    serving,
    watching,
)
from benchmarks.statistics import (
    Interval,
    Spread,
    entry_seconds,
    epochs_for,
    ratios,
    shuffled_rounds,
    slowdown_while_writing,
    who_learned_otherwise,
)
from benchmarks.streaming import copying, jumping, made, memory, parts, pictures, sets
from benchmarks.streaming import training as packed_training
from benchmarks.workload import load_all

# Answers as a contender does; its speed and its faults are arguments.
_FAKE = """
import json, sys, time
seconds, used, loss, parameters, fault = json.loads(sys.argv[1])
for line in sys.stdin:
    message = json.loads(line)
    do = message["do"]
    if do == fault:
        print("a fault of its own", file=sys.stderr)
        sys.exit(3)
    epochs = message.get("epochs", 0)
    print(json.dumps({
        "load": {"parameters": parameters, "versions": {}},
        "first": {"seconds": 0.5},
        "loss": {"loss": loss},
        "run": {
            "seconds": 0.01 + seconds * epochs,
            "processor_seconds": used * epochs,
            "steps": 1024 * epochs,
        },
        "peak": {"flops": 1e9},
        "usage": {"peak_bytes": 1000},
        "error": {"error": "ValueError: no"},
        "sleep": {},
        "garbage": {},
    }[do]), flush=True)
"""


@pytest.fixture
def fake(tmp_path):
    """Starts a fake contender; ends all at the end."""
    started = []

    def start(seconds=1.0, used=1e6, loss=0.5, parameters=18, fault=None):
        arguments = json.dumps([seconds, used, loss, parameters, fault])
        process = contenders.Process(
            [sys.executable, "-c", _FAKE, arguments],
            {},
            tmp_path / f"{len(started)}.log",
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


def test_a_spread_is_the_median_and_the_quartiles():
    assert Spread.of([5, 1, 3, 2, 4]) == Spread(3, 2, 4)
    assert Spread.of([7]) == Spread(7, 7, 7)
    with pytest.raises(ValueError, match="expected at least one"):
        Spread.of([])


def test_ratios_are_taken_round_by_round():
    # The machine was half as fast in the second round, for both.
    found = ratios({"slow": [80, 40, 80], "fast": [100, 50, 100]})
    assert found["fast"] == Spread(1, 1, 1)
    assert found["slow"].median == found["slow"].lower == pytest.approx(0.8)
    assert ratios({}) == {}


def test_rounds_have_every_contender_once_in_an_order_of_the_seed():
    names = list("abcdef")
    order = shuffled_rounds(names, 20, seed=1)
    assert all(sorted(each) == names for each in order)
    assert len({tuple(each) for each in order}) > 15
    assert order == shuffled_rounds(names, 20, seed=1)
    assert order != shuffled_rounds(names, 20, seed=2)


def test_a_round_lasts_at_least_the_seconds_asked_for():
    assert epochs_for(5, 2) == 3
    assert epochs_for(5, 2.5) == 2
    assert epochs_for(5, 60) == 1


def test_entry_is_what_two_epochs_do_not_double():
    assert entry_seconds(1.1, 2.1) == pytest.approx(0.1)
    assert entry_seconds(1.0, 2.1) == 0


def test_who_does_less_is_found_by_the_loss():
    losses = {"broken": math.nan, "a": 0.50, "lazy": 0.9, "b": 0.505, "idle": 2.3}
    found = who_learned_otherwise(losses, tolerance=0.02, chance=2.3)
    assert set(found) == {"lazy", "idle", "broken"}
    assert "nothing learned" in found["idle"]
    assert "the median is 0.505" in found["lazy"]
    assert len(who_learned_otherwise({"a": 3.0}, tolerance=1, chance=2.3)) == 1


def test_what_is_lost_in_an_interval_is_charged_to_the_writing():
    # Ten steps of 0.1 s, of which four were made in 0.5 s of writing.
    long = Interval(steps=10, seconds=1.1, writing_seconds=0.5)
    quiet = Interval(steps=10, seconds=1.0, writing_seconds=0.0)
    assert slowdown_while_writing([quiet, long], 0.1) == pytest.approx(1.25)
    whole = [Interval(1, 0.13, 0.13)] * 3
    assert slowdown_while_writing(whole, 0.1) == pytest.approx(1.3)
    assert slowdown_while_writing([quiet], 0.1) is None
    # Nothing was made in the time of writing.
    assert slowdown_while_writing([Interval(5, 1.0, 0.5)], 0.1) == math.inf


def test_a_contender_is_stopped_while_it_has_nothing_to_do(fake):
    process = fake()
    assert process.ask("load", timeout=5)["parameters"] == 18
    ends = time.monotonic() + 5
    while _state(process) != "T" and time.monotonic() < ends:
        time.sleep(0.01)  # A signal takes its time.
    assert _state(process) == "T"
    assert process.ask("loss", timeout=5) == {"loss": 0.5}


def _state(process):
    with open(f"/proc/{process._popen.pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


@pytest.mark.parametrize(
    ("fault", "do", "message"),
    [
        ("load", "load", "load: ended with code 3; a fault of its own"),
        (None, "error", "error: ValueError: no"),
        (None, "unknown", "unknown: ended with code 1; .*KeyError"),
    ],
)
def test_a_contender_that_fails_is_ended_and_says_why(fake, fault, do, message):
    process = fake(fault=fault)
    with pytest.raises(contenders.FailedError, match=message):
        process.ask(do, timeout=5)
    assert process._popen.poll() is not None


def test_who_does_not_answer_is_given_up(tmp_path):
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    process = contenders.Process(command, {}, tmp_path / "log")
    began = time.monotonic()
    with pytest.raises(contenders.FailedError, match="load: no answer in time"):
        process.ask("load", timeout=0.3)
    assert time.monotonic() - began < 3
    assert process._popen.poll() is not None


def test_throughput_of_contenders_of_which_some_fail(fake, tmp_path, monkeypatch):
    workload = load_all()["T"]
    how = {
        "quick": {"seconds": 1.0},
        "slow": {"seconds": 2.0},
        "other": {"parameters": 17},
        "lazy": {"seconds": 0.5, "loss": 0.9},
        "absent": {},
        "late": {"fault": "usage"},
        "disturbed": {"used": -10.0},
    }
    chosen = [contenders.Contender(n, n, "own", "none") for n in how]
    bench = rounds.Bench(tmp_path, lambda line: None)

    def start(contender, workload):
        if contender.name == "absent":
            raise contenders.FailedError("environment 'own': no network")
        return fake(**how[contender.name])

    monkeypatch.setattr(bench, "start", start)
    plan = rounds.Plan(rounds=3, seconds=3)
    result = rounds.throughput(bench, workload, chosen, plan)
    found = result["contenders"]
    assert found["absent"]["failed"] == "environment 'own': no network"
    assert "expected 18. Received: 17" in found["other"]["failed"]
    assert "a fault of its own" in found["late"]["failed"]
    assert found["quick"]["epochs_per_round"] == 3
    assert found["quick"]["items_per_second"]["median"] == pytest.approx(3072 / 3.01)
    assert found["quick"]["entry_seconds"] == pytest.approx(0.01)
    assert found["quick"]["notes"] == []
    assert found["slow"]["ratio"]["median"] < found["quick"]["ratio"]["median"]
    assert found["lazy"]["ratio"]["median"] == 1
    assert "where the median is 0.5" in found["lazy"]["notes"][0]
    # It says that it took less than nothing, so others must have taken the rest.
    assert "other programs took" in found["disturbed"]["notes"][0]
    table = report.throughput_table("T", result)
    assert table.index("| lazy") < table.index("| quick") < table.index("| slow")
    assert "absent failed: environment 'own': no network" in table
    json.dumps(result)


def test_startup_is_measured_in_fresh_processes(fake, tmp_path, monkeypatch):
    chosen = [contenders.Contender(n, n, "own", "none") for n in ("a", "b")]
    bench = rounds.Bench(tmp_path, lambda line: None)
    starts = []

    def start(contender, workload):
        starts.append(contender.name)
        return fake(fault="first" if contender.name == "b" else None)

    monkeypatch.setattr(bench, "start", start)
    result = rounds.startup(bench, load_all()["T"], chosen, rounds.Plan(rounds=3))
    assert sorted(starts) == ["a", "a", "a", "b"]
    assert 0 < result["contenders"]["a"]["first_seconds"]["median"] < 5
    table = report.startup_table("T", result)
    assert "b failed: first: ended with code 3" in table


def test_an_environment_that_pip_cannot_make_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path))
    made = []

    def call(line):
        made.append(line)
        raise environments.EnvironmentFailedError("no matching distribution")

    monkeypatch.setattr(environments, "_call", call)
    monkeypatch.setattr(environments.venv, "create", lambda *_, **__: None)
    bench = rounds.Bench(tmp_path, lambda line: None)
    torch = contenders.CONTENDERS["torch"]
    for _ in range(2):
        with pytest.raises(contenders.FailedError, match="no matching distribution"):
            bench.start(torch, load_all()["A"])
    assert len(made) == 1  # Once is enough for all contenders of it.
    assert environments.cache_folder() == tmp_path / "benchmarks"


def test_data_and_weights_are_the_same_each_time():
    for letter in ("D", "T"):
        workload = load_all()[letter]
        for one, other in zip(workload.data(), workload.data(), strict=True):
            np.testing.assert_array_equal(one, other)
        again = workload.weights()
        for name, array in workload.weights().items():
            np.testing.assert_array_equal(array, again[name])


@pytest.mark.parametrize("letter", load_all())
def test_workloads_are_whole(letter):
    workload = load_all()[letter]
    x, y = workload.data()
    assert len(x) == len(y) == workload.batch_size * workload.steps_per_epoch
    assert workload.first_steps <= workload.steps_per_epoch
    assert workload.items_per_step % workload.batch_size == 0 or letter == "T"
    weights = workload.weights()
    assert {array.dtype for array in weights.values()} == {np.dtype("float32")}
    assert sum(a.size for a in weights.values()) == _PARAMETERS[letter]


_PARAMETERS = {
    "A": 407_050,
    "B": 1_199_882,
    "C": 738_945,
    "D": 818_176,
    "E": 10_795_776,
    "G": 818_176,
    "H": 25_319_424,
    "M": 407_050,
    "P": 10_512_394,
    "T": 18,
}


def test_what_saving_costs_is_compared_round_by_round():
    none = {"copies": [], "waits": [], "writes": []}
    alone = {"seconds": 2.0, "intervals": [(10, 1.0, 0.0)] * 2, **none}
    beside = {
        "seconds": 2.3,
        # Six steps without writing, four in 0.6 s with it.
        "intervals": [(10, 0.8, 0.0), (10, 0.8 * 0.6 + 0.6, 0.6), (10, 0.8, 0.0)],
        "copies": [0.05],
        "waits": [0.0],
        "writes": [{"seconds": 0.6, "processor_seconds": 0.2}],
    }
    found = checkpointing.summary([alone] * 3, [beside] * 3)
    assert found["step_seconds_without"]["median"] == pytest.approx(0.1)
    assert found["step_seconds_between_saves"]["median"] == pytest.approx(0.08)
    # Against the quiet steps of the same process: 0.15 s to 0.08 s.
    assert found["rise_while_writing"]["median"] == pytest.approx(0.875)
    assert found["seconds_with_over_without"]["median"] == pytest.approx(1.15)
    assert found["copy_seconds"]["median"] == 0.05
    assert found["write_processor_seconds"]["median"] == 0.2
    assert "while writing: MISSED" in checkpointing.table(found)


def test_the_command_refuses_what_it_does_not_know(capsys):
    for arguments, message in (
        (["--workloads", "A,Q"], "--workloads: expected some of A, B, C, D, E"),
        (["--contenders", "keras,numpy"], "Received: numpy"),
        (["--rounds", "0"], "--rounds: expected 1 or more"),
    ):
        with pytest.raises(SystemExit):
            command._parse(arguments)
        assert message in capsys.readouterr().err


def test_every_contender_has_a_runner_and_an_environment():
    folder = contenders.TESTS / "benchmarks" / "runners"
    for contender in (*contenders.CONTENDERS.values(), *mesh.CONTENDERS.values()):
        assert (folder / f"{contender.runner}.py").is_file()
        known = (environments.OWN, *environments.REQUIREMENTS)
        assert contender.environment in known


def test_serving_figures_are_compared_round_by_round():
    own = serving.figures([0.001 * i for i in range(1, 102)], 2.0)
    assert own["requests_per_second"] == 50.5
    assert own["p50_seconds"] == pytest.approx(0.051)
    assert own["p99_seconds"] == pytest.approx(0.1)
    fast = [{**own, "requests_per_second": rate} for rate in (300, 100)]
    slow = [{**own, "requests_per_second": rate} for rate in (100, 50)]
    answers = {"batching": fast, "no-batching": slow, "predict_on_batch": slow}
    found = serving.summary(answers)
    assert found["batching_gain"]["median"] == 2.5
    assert found["contenders"]["no-batching"]["over_best"]["upper"] < 0.5
    table = serving.table(found)
    assert "| batching | 200 | 51.00 | 100.00 | 1.00 |" in table
    assert table.endswith("kept.")
    assert serving.table(serving.summary({**answers, "batching": slow})).endswith(
        "MISSED."
    )


def test_what_being_watched_costs_is_compared_within_a_round():
    found = watching.summary(
        {"without": [10.0, 20.0], "watched": [10.1, 20.2], "saved": [10.5, 21.0]}
    )
    assert found["watched"]["median"] == pytest.approx(0.01)
    assert found["saved"]["median"] == pytest.approx(0.05)
    lines = watching.table(found).splitlines()
    assert ["kept" in lines[2], "MISSED" in lines[3]] == [True, True]


def test_scaling_is_compared_round_by_round():
    rates = {
        "kerascale": {
            "together": [180.0, 90.0],
            "apart": [200.0, 100.0],
            "alone": [120.0, 60.0],
        },
        "torch": {
            "together": [150.0, 75.0],
            "apart": [200.0, 100.0],
            "alone": [100.0, 50.0],
        },
    }
    found = scaling.summary(rates)
    assert found["kerascale"]["of_apart"]["median"] == pytest.approx(0.9)
    assert found["kerascale"]["of_alone"]["median"] == pytest.approx(0.75)
    assert found["kerascale"]["of_torch"]["median"] == pytest.approx(1.2)
    for figures in found.values():
        figures |= {"title": "it", "loss": 1.0, "notes": []}
        figures["microseconds_per_step"] = 20.0
    result = {
        "workload": "an MLP",
        "item": "examples",
        "parameters": 1000,
        "workers": 2,
        "network": "",
        "contenders": found,
    }
    assert "| it | 135 | 20 | 0.90 | 0.90 to 0.90 | 0.75 | 1.20 | 1.0000 |  |" in (
        scaling.table("P", result)
    )


def test_meshes_are_held_against_their_targets():
    workload = load_all()["G"]
    names = ("kerascale", "keras-jax", "jax-step")
    chosen = [mesh.CONTENDERS[name] for name in names]
    own = {"loss": 2.0, "parameters": workload.num_parameters, "state_bytes": 1000}
    known = {name: {**own, "state_bytes_per_device": 130} for name in names}
    # The machine was half as fast in the second round.
    rates = {"kerascale": [4, 2], "keras-jax": [2, 1], "jax-step": [5, 2.5]}
    costs = {name: [0.2, 0.2] for name in names}
    first = {"kerascale": [11.0], "keras-jax": [30.0], "jax-step": [10.0]}
    found = mesh.summary(workload, chosen, known, rates, costs, first)
    assert found["keras-jax"]["kerascale_of_it"]["median"] == pytest.approx(2)
    assert [line.rpartition(": ")[2] for line in mesh.judged("fsdp", found)] == [
        "kept",  # Twice the pace of Keras.
        "MISSED",  # 0.8 of that of JAX by hand.
        "kept",  # 1.1 of its start.
        "kept",  # 0.13 of the bytes.
    ]
    # A second start finds what the first one compiled, and by hand nothing is kept.
    found = mesh.summary(workload, chosen, known, rates, costs, first, [8.0])
    assert "- next start of by hand: 0.8, target <= 1.1: kept" in (
        mesh.judged("fsdp", found)
    )
    known["jax-step"]["parameters"] -= 1
    with pytest.raises(
        contenders.FailedError, match="jax-step: parameters: expected 818176"
    ):
        mesh.summary(workload, chosen, known, rates, costs, first)


class FakeProcess:
    """Answers at once, with what a process of the benchmark answers."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.asked = []

    def begin(self, do, **values):
        self.asked.append((do, values))

    def finish(self, do, *, timeout):
        return {"seconds": self.seconds, "steps": 10}


def test_a_team_is_as_fast_as_its_slowest():
    team = scaling.Team([FakeProcess(1.0), FakeProcess(2.0)], 5)
    workload = load_all()["P"]
    assert team.rate(workload, 1) == 20 * workload.items_per_step / 2
    assert team.processes[1].asked == [("run", {"epochs": 1})]


def test_workers_of_the_scaling_benchmark_know_their_place():
    first, second = networks.places(networks.Loopback(), 2)
    assert first["MASTER_PORT"] == second["MASTER_PORT"]
    assert [first["RANK"], second["RANK"]] == ["0", "1"]
    configs = [json.loads(place["TF_CONFIG"]) for place in (first, second)]
    assert configs[0]["cluster"] == configs[1]["cluster"]
    assert configs[1]["task"] == {"type": "worker", "index": 1}
    # Two hosts: each has an address, and all reach the first one by it.
    first, second = networks.places(networks.parse("namespaces:1gbit"), 2)
    hosts = json.loads(second["TF_CONFIG"])["cluster"]["worker"]
    assert [host.rpartition(":")[0] for host in hosts] == ["10.77.0.1", "10.77.0.2"]
    assert first["MASTER_ADDR"] == second["MASTER_ADDR"] == "10.77.0.1"
    assert first["KERASCALE_ALL_REDUCE"] == "tensorflow"
    with pytest.raises(argparse.ArgumentTypeError, match="expected loopback, names"):
        networks.parse("wifi")
    for contender in scaling.CONTENDERS.values():
        runner = contenders.TESTS / "benchmarks" / "runners" / f"{contender.runner}.py"
        assert runner.is_file()


def _streamed():
    """Figures of all parts, as they are kept in the JSON."""
    part = {"seconds": 2.0, "waited_seconds": 0.02, "steps": 100}
    slower = {**part, "seconds": 2.5, "waited_seconds": 0.5}
    trained = packed_training.summary([{"memory": part, "packed": slower}] * 2)
    read = {
        name: {"title": name, "others_cores": [0.0, 0.5], "processor_ms": [1.0, 2.0]}
        for name in ("kerascale", "kerascale-regions", "grain", "tf.data")
    }
    rates = {"kerascale": [220, 110], "grain": [100, 50], "tf.data": [200, 100]}
    rates["kerascale-regions"] = [300, 150]
    found = pictures.summary({**read, "webdataset": {"failed": "no network"}}, rates)
    peaks = {"train_digits": 700e6, "train_large": 900e6}
    peaks |= {"pack_tenth": 200e6, "pack_all": 290e6, "bytes": 30e9}
    return {
        "sizes": {},
        "pictures": {"bytes": 3e6, "count": 30, "contenders": found},
        "arrays": {"A": trained, "B": trained},
        "tokens": {"cold": trained, "warm": trained},
        "memory": {**peaks, "packed_bytes": {"all": 10e9, "tenth": 1e9}},
        "jump": {
            "rows": 1000,
            "step": 10,
            **jumping.summary([{"0": [1.0, 1.0], "10": [1.1, 1.1]}], "10"),
        },
        "pack": {
            "bytes": 3e6,
            **copying.summary(
                {"cp": [1.0, 3.0], "pack": [2.0, 6.0], "cp_on_disk": [1.5, 4.5]}
            ),
        },
    }


def test_streaming_is_held_against_its_targets():
    found = _streamed()
    table = parts.table(found)
    best = "over the best of the others (tf.data)"
    assert f"packed as they are, {best} | 1.1 | 1.1 to 1.1 |" in table
    assert f"`--jpeg-restart-markers`, {best} | 1.5 | 1.5 to 1.5 |" in table
    assert "| A: pace, packed over in memory | 0.8 | 0.8 to 0.8 | at least 0.97 |" in (
        table
    )
    assert "| B: utilization, packed | 0.8 | 0.8 to 0.8 | at least 0.95 | MISSED" in (
        table
    )
    assert table.count("at least 0.98") == 1
    assert "above digits (700 MB) | 200 | 200 to 200 | at most 400 | kept |" in table
    # 290 MB at 10 GB, and 10 MB more for each of 20 others: below those of digits.
    assert memory.above_digits(found["memory"])["pack"] == pytest.approx(-210e6)
    assert "| -210 | -210 to -210 | at most 400 | kept |" in table
    assert "over step 0 | 1.1 | 1.1 to 1.1 | at most 1.05 | MISSED |" in table
    assert "over `cp -r` | 0.5 | 0.5 to 0.5 | at least 0.5 | kept |" in table
    assert "webdataset failed: no network" in table
    assert parts.is_failed(found)
    del found["pictures"]["contenders"]["webdataset"]
    assert not parts.is_failed(found)
    json.dumps(found)


def test_a_part_of_streaming_that_fails_leaves_the_others(tmp_path, monkeypatch):
    def fails(*_):
        raise contenders.FailedError("no disk")

    monkeypatch.setattr(jumping, "measure", fails)
    monkeypatch.setattr(copying, "measure", lambda *_: {"failed": "too"})
    bench, kept = rounds.Bench(tmp_path, lambda line: None), []
    found = parts.measure(
        bench,
        rounds.Plan(),
        tmp_path,
        parts.Sizes(),
        [],
        ["jump", "pack"],
        lambda found: kept.append(list(found)),
    )
    assert kept == [["sizes", "jump"], ["sizes", "jump", "pack"]]
    assert "jump failed: FailedError: no disk" in parts.table(found)


def test_pictures_of_streaming_are_made_once_and_differ(tmp_path):
    said = []
    total = made.pictures(tmp_path, 20, said.append)
    assert made.pictures(tmp_path, 20, said.append) == total
    assert len(said) == 1
    with pytest.raises(ValueError, match="--pictures: expected 20, which"):
        made.pictures(tmp_path, 30, said.append)
    shuffled = list(made.shuffled(tmp_path, 20))
    assert len({path.read_bytes() for path, _ in shuffled}) == 20
    assert sorted(label for _, label in shuffled) == sorted([*range(10)] * 2)
    assert sum(path.stat().st_size for path, _ in shuffled) == total


def test_sets_of_streaming_are_packed_sets(tmp_path):
    made_set = sets.vectors(tmp_path / "rows", 30_000, 3)
    assert (made_set / "features.bin").stat().st_size == 4 * 3 * 30_000
    index = [np.fromfile(made_set / f"{s}.index", "<i8") for s in ("train", "test")]
    np.testing.assert_array_equal(index[0], np.arange(10_000))
    np.testing.assert_array_equal(index[1], np.arange(20_000, 30_000))
    tokens = sets.tokens(tmp_path / "tokens", 1000)
    ids = np.fromfile(tokens / "features.bin", "<u2")
    assert len(ids) == 500
    assert 2 <= ids.min() <= ids.max() < 2 + len(sets.ALPHABET) <= 65


def test_every_reader_of_pictures_has_a_runner_and_an_environment():
    folder = contenders.TESTS / "benchmarks" / "runners"
    for contender in parts.CONTENDERS.values():
        assert (folder / f"{contender.runner}.py").is_file()
        known = (environments.OWN, *environments.REQUIREMENTS)
        assert contender.environment in known
