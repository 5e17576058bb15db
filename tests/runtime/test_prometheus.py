"""What Prometheus reads of a training, and the alerts and the dashboard for it."""

import contextlib
import importlib.resources
import json
import math
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.request

import keras
import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

import kerascale as ks
from kerascale.callbacks import ExportMetrics
from kerascale.cli import main
from kerascale.errors import RefusedError, SaveFailedError, StoppedError
from kerascale.runtime import heartbeat
from kerascale.runtime.prometheus import endpoint, exporter
from kerascale.runtime.prometheus.collector import make_registry
from kerascale.runtime.prometheus.endpoint import Endpoint
from kerascale.runtime.prometheus.training_state import TrainingState

_HOST = "127.0.0.1"
_SHIPPED = importlib.resources.files("kerascale.runtime.prometheus") / "shipped"


def _promtool(*arguments, **options):
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    finished = subprocess.run(
        [program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert not finished.stderr.strip()


def _read(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        return answer.read().decode()


def _samples(text):
    """Name and labels -> value."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _full_state():
    """A state in which every value is known."""
    state = TrainingState({"recipe": "mlp", "run_dir": "runs/1"}, {"stuck": 2}, 600.0)
    state.began(0, 100)
    state.trained(3, 3, 96, None)
    state.trained(7, 4, 100, 0.08)
    state.saw(loss=0.5, validation_loss=0.75, learning_rate=1e-3)
    state.saved()
    state.save_failed()
    state.blew_up()
    state.rolled_back()
    return state


@pytest.fixture(scope="module")
def exposition():
    return generate_latest(make_registry(_full_state())).decode()


@pytest.fixture
def busy_port():
    with socket.socket() as taken:
        taken.bind((_HOST, 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_names_and_units(exposition):
    families = list(text_string_to_metric_families(exposition))
    units = ("_seconds", "_steps", "_bytes", "_info", "_loss", "_rate", "_active")
    for family in families:
        assert family.documentation, family.name
        assert re.fullmatch(r"(kerascale|process)_[a-z_]+", family.name)
        samples = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert samples == {f"{family.name}_total"}
        elif family.name != "process_open_fds" and family.name != "process_max_fds":
            assert family.name.endswith(units), family.name
    assert "_created" not in exposition
    assert not re.search(r"_(ms|milliseconds|minutes|hours|percent)\b", exposition)


def test_promtool_accepts_the_exposition(exposition):
    _promtool("check", "metrics", input=exposition)


def test_values(exposition):
    samples = _samples(exposition)
    assert samples["kerascale_train_steps_total",] == 7
    assert samples["kerascale_train_examples_total",] == 196
    assert samples["kerascale_train_position_steps",] == 7
    assert samples["kerascale_train_planned_steps",] == 100
    # Four steps of 20 ms; the first three tell nothing.
    assert samples["kerascale_train_step_seconds_count",] == 4
    assert samples["kerascale_train_step_seconds_sum",] == 0.08
    bucket = "kerascale_train_step_seconds_bucket"
    assert samples[bucket, ("le", "0.01")] == 0
    assert samples[bucket, ("le", "0.025")] == 4
    assert samples[bucket, ("le", "+Inf")] == 4
    restarts = "kerascale_train_restarts_total"
    assert samples[restarts, ("reason", "stuck")] == 2
    assert samples[restarts, ("reason", "killed")] == 0
    now = time.time()
    for name in ("checkpoint", "failed_save", "non_finite", "progress"):
        suffix = "_timestamp_seconds"
        assert now - 60 < samples[f"kerascale_train_last_{name}{suffix}",] <= now
    (build,) = (key for key in samples if key[0] == "kerascale_build_info")
    assert dict(build[1:])["version"] == ks.__version__
    assert dict(build[1:])["keras"] == keras.__version__


def test_what_is_not_known_is_left_out():
    text = generate_latest(make_registry(TrainingState())).decode()
    names = {sample[0] for sample in _samples(text)}
    # A zero would be the year 1970, and each alert on an age would fire.
    assert not {name for name in names if "timestamp" in name or "loss" in name}
    assert "kerascale_train_non_finite_total" in names


class _Reading(keras.callbacks.Callback):
    """Reads what is exported, at the end of each epoch, as Prometheus would."""

    def __init__(self, urls):
        super().__init__()
        self._urls = urls
        self.texts = []

    def on_epoch_end(self, epoch, logs=None):
        self.texts.append(_read(self._urls[0]))


def test_a_run(recipe, tmp_path, monkeypatch):
    urls = []
    monkeypatch.setattr(
        exporter, "say", lambda text: urls.append(text.removeprefix("metrics: "))
    )
    reading = _Reading(urls)
    config = recipe.Config(epochs=3, units=(8,), batch_size=50)
    run = ks.train(
        recipe,
        config,
        run_dir=tmp_path / "run",
        callbacks=[reading],
        metrics_port=0,
        # What a checkpoint says is of the same step then.
        checkpoints=ks.config.CheckpointPolicy(save_every_seconds=5.0),
    )
    steps, examples = 23, 1145  # The last batch of an epoch has 45.
    for done, text in enumerate(reading.texts, 1):
        samples = _samples(text)
        assert samples["kerascale_train_steps_total",] == done * steps
        assert samples["kerascale_train_examples_total",] == done * examples
        assert samples["kerascale_train_position_steps",] == done * steps
        assert samples["kerascale_train_planned_steps",] == 3 * steps
        assert samples["kerascale_train_active",] == 1
        assert samples["kerascale_train_checkpoint_interval_seconds",] == 5
        loss = run.history["loss"][done - 1]
        assert samples["kerascale_train_loss",] == pytest.approx(loss, rel=1e-6)
        loss = run.history["val_loss"][done - 1]
        name = "kerascale_train_validation_loss"
        assert samples[name,] == pytest.approx(loss, rel=1e-6)
        assert 0 < samples["kerascale_train_learning_rate",] < 1
    # All but the first execution, however many steps that had.
    count = samples["kerascale_train_step_seconds_count",]
    assert 0 < count < 3 * steps
    seconds = samples["kerascale_train_step_seconds_sum",]
    assert 0 < seconds < time.time() - samples["kerascale_train_start_time_seconds",]
    assert (
        "kerascale_train_run_info",
        ("recipe", "mlp"),
        ("run_dir", str(tmp_path / "run")),
    ) in samples
    with pytest.raises(OSError, match="refused"):
        _read(urls[0])


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_steps_of_a_run_that_goes_on(recipe, steps_per_execution):
    """From within an epoch; time is spread over the steps of an execution."""
    config = recipe.Config(epochs=2, units=(4,), batch_size=100)
    datasets = recipe.make_datasets(config)
    model = recipe.make_model(config, datasets)
    model.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        steps_per_execution=steps_per_execution,
    )
    state = TrainingState()
    callback = ExportMetrics(state, datasets.train, first_step=5)
    train = datasets.train.starting_at(5)
    model.fit(train, epochs=2, callbacks=[callback], verbose=0)
    assert state.steps == 2 * 12 - 5
    assert state.examples == 2 * 1145 - 500
    assert state.position == state.planned_steps == 24
    # The first execution has step 6 alone, or steps 6 to 8.
    first = 1 if steps_per_execution == 1 else 3
    assert sum(state.step_counts) == state.steps - first
    assert not state.is_training


def test_a_busy_port_is_refused_with_all_else(busy_port, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = main(["train", "mlp", "--metrics-port", str(busy_port), "--epochs", "-1"])
    told = " ".join(capsys.readouterr().err.split())
    assert code == 2
    assert f"expected a free port. Received: {busy_port}" in told
    assert "epochs: expected" in told
    assert list(tmp_path.iterdir()) == []


def test_another_worker_than_the_chief_needs_no_port(busy_port, monkeypatch, capsys):
    def train(index):
        cluster = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": cluster, "task": task})
        monkeypatch.setenv("TF_CONFIG", config)
        port = str(busy_port)
        assert main(["train", "mlp", "--metrics-port", port, "--epochs", "-1"]) == 2
        return capsys.readouterr().err

    assert "free port" in train(0)
    assert "free port" not in train(1)


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("192.0.2.1", 0, r"expected an address of this machine. Received: 192.0.2.1:0"),
        ("no.such.host.invalid", 0, "expected an address of this machine"),
        (_HOST, 65536, "expected a port from 0 .* to 65535. Received: 65536"),
        (_HOST, -1, "Received: -1"),
    ],
)
def test_addresses_that_are_refused(recipe, tmp_path, host, port, words):
    folder = tmp_path / "run"
    with pytest.raises(RefusedError, match=words):
        ks.train(recipe, run_dir=folder, metrics_host=host, metrics_port=port)
    assert not folder.exists()


def test_a_missing_package_is_told_of(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        endpoint.importlib.util,
        "find_spec",
        lambda name: None if name == "prometheus_client" else find(name),
    )
    assert main(["train", "mlp", "--metrics-port", "0"]) == 2
    assert "pip install 'kerascale[metrics]'" in capsys.readouterr().err


def test_silent_readers_hold_nobody_up():
    state = _full_state()
    with contextlib.ExitStack() as stack:
        exported = Endpoint(state, _HOST, 0)
        port = int(exported.url.rpartition(":")[2].removesuffix("/metrics"))
        for _ in range(20):  # More than the system keeps waiting.
            stack.enter_context(socket.create_connection((_HOST, port)))
        assert "kerascale_train_steps_total 7.0" in _read(exported.url)
        began = time.monotonic()
        exported.close()
        assert time.monotonic() - began < 5
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((_HOST, port))


def _export(readings, fail):
    with exporter.exported((_HOST, 0), {}, None) as state:
        state.began(0, 1)
        for number in range(readings):
            time.sleep(1.0 if number else 0.0)
            _read(_url())
            socket.create_connection(_address()).close()  # Reads nothing.
        fail(state)


def _address():
    (thread,) = (t for t in threading.enumerate() if t.name == "metrics")
    return thread._target.__self__.server_address


def _url():
    return f"http://{_HOST}:{_address()[1]}/metrics"


@pytest.mark.parametrize(
    ("error", "count"),
    [
        (SaveFailedError(None, 28, "no room", what="best.weights.h5"), 1),
        (OSError(28, "no room"), 1),
        (SaveFailedError(7, 28, "no room"), 0),  # The writer has counted it.
        (ValueError("x"), 0),
    ],
)
def test_files_that_end_the_run_because_they_cannot_be_written(error, count):
    def fail(state):
        states.append(state)
        raise error

    states = []
    with pytest.raises(type(error)):
        _export(0, fail)
    assert states[0].failed_saves == count


def test_a_failure_is_told_to_who_reads_regularly():
    texts = []
    url = []

    def read():
        texts.append(_read(url[0]))

    reading = threading.Timer(0.2, read)

    def fail(state):
        state.blew_up()
        url.append(_url())
        reading.start()
        raise ks.NonFiniteError("the loss became NaN")

    with pytest.raises(ks.NonFiniteError, match="the loss became NaN"):
        _export(2, fail)
    reading.join()
    samples = _samples(texts[0])
    assert samples["kerascale_train_non_finite_total",] == 1
    assert samples["kerascale_train_active",] == 0


@pytest.mark.parametrize(
    ("readings", "error"),
    [
        (0, ks.NonFiniteError("nobody reads")),
        (1, ks.NonFiniteError("somebody looked once")),
        (2, ks.NonFiniteError("the reader has gone")),
        (2, StoppedError(7)),
    ],
    ids=str,
)
def test_nobody_is_waited_for_in_vain(readings, error):
    def fail(state):
        if "gone" in str(error):
            time.sleep(2.0)
        nonlocal began
        began = time.monotonic()
        raise error

    began = 0.0
    with pytest.raises(type(error)):
        _export(readings, fail)
    assert time.monotonic() - began < 1.0


def test_restarts_are_told_to_the_job_that_goes_on():
    assert heartbeat.restarts({}) == {"killed": 0, "failed": 0, "stuck": 0}
    environ = {heartbeat.RESTARTS: '{"stuck": 2}'}
    with exporter.exported((_HOST, 0), {}, None, environ) as state:
        assert state.restarts == {"killed": 0, "failed": 0, "stuck": 2}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("monitoring") / "new" / "folder"
    assert main(["monitoring", "--write", str(folder)]) == 0
    return folder


def test_monitoring_tells_what_to_do_next(tmp_path, capsys):
    folder = tmp_path / "here"
    arguments = ("monitoring", "--write", str(folder), "--target", "gpu-1:9000")
    assert main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["files"] == [
        "alerts.yml",
        "dashboard.json",
        "prometheus.yml",
    ]
    assert "--metrics-port 9000" in err
    assert f"prometheus --config.file={folder / 'prometheus.yml'}" in err
    assert f'- "{folder / "alerts.yml"}"' in err
    assert "Import" in err
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["gpu-1:9000"]}]
    # Once more is fine; with another target it is not the same file.
    assert main([*arguments]) == 0
    assert main(["monitoring", "--write", str(folder)]) == 2


def test_monitoring_leaves_the_files_of_others(tmp_path, capsys):
    own = tmp_path / "alerts.yml"
    own.write_text("groups: []\n")
    arguments = ["monitoring", "--write", str(tmp_path)]
    assert main([*arguments, "--target", "no port"]) == 2
    told = capsys.readouterr().err
    assert "--force" in told
    assert "alerts.yml" in told
    assert "--target: expected host:port" in told
    assert [path.name for path in tmp_path.iterdir()] == ["alerts.yml"]
    assert own.read_text() == "groups: []\n"
    assert main([*arguments, "--force"]) == 0
    assert own.read_text() == (_SHIPPED / "alerts.yml").read_text()
    assert main(["monitoring", "--write", str(own)]) == 2


def _expressions():
    """Every expression in the rules and the dashboard."""
    (group,) = yaml.safe_load((_SHIPPED / "alerts.yml").read_text())["groups"]
    dashboard = json.loads((_SHIPPED / "dashboard.json").read_text())
    targets = (t for panel in dashboard["panels"] for t in panel["targets"])
    return [rule["expr"] for rule in group["rules"]] + [t["expr"] for t in targets]


def test_rules_and_dashboard_ask_for_what_is_exported(exposition):
    exported = {sample[0] for sample in _samples(exposition)}
    asked = set(re.findall(r"\b(?:kerascale|process)_\w+", " ".join(_expressions())))
    assert asked <= exported
    # And what is exported is shown.
    shown_nowhere = {name for name in exported - asked if name.startswith("kerascale")}
    assert shown_nowhere <= {"kerascale_train_last_non_finite_timestamp_seconds"}


def test_panels_do_not_overlap():
    dashboard = json.loads((_SHIPPED / "dashboard.json").read_text())
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_every_rule_says_what_to_do():
    (group,) = yaml.safe_load((_SHIPPED / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        assert set(rule["labels"]) == {"severity"}
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
        assert len(rule["annotations"]["description"]) > 80


def test_promtool_accepts_the_files(written, tmp_path):
    _promtool("check", "config", written / "prometheus.yml")
    _promtool("check", "rules", written / "alerts.yml")
    rules = [
        {"record": f"panel:{i}", "expr": expression}
        for i, expression in enumerate(_expressions())
    ]
    text = yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]})
    # Grafana fills in its variables.
    text = text.replace("$__rate_interval", "1m").replace("$job", ".*")
    (tmp_path / "panels.yml").write_text(text.replace("$instance", ".*"))
    _promtool("check", "rules", tmp_path / "panels.yml")


def test_promtool_tests_the_rules(written, tmp_path):
    shutil.copy(written / "alerts.yml", tmp_path)
    shutil.copy(pathlib.Path(__file__).with_name("alerts_test.yml"), tmp_path)
    _promtool("test", "rules", "alerts_test.yml", cwd=tmp_path)


def test_a_loss_that_is_no_number_can_be_exported():
    state = TrainingState()
    state.saw(loss=math.nan)
    text = generate_latest(make_registry(state)).decode()
    assert math.isnan(_samples(text)["kerascale_train_loss",])
