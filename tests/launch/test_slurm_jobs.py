"""`kerascale launch slurm`: what is submitted, and how its script goes on."""

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

from kerascale.cli import main
from kerascale.launch.run_dirs import run_dir_of
from kerascale.launch.slurm import jobs
from kerascale.launch.slurm.script import Job, script

_COMMANDS = {
    # Ends as the next line of `codes` says.
    "srun": 'echo "srun $*" >> said; code=$(head -n1 codes); sed -i 1d codes\n'
    'if [[ $code == wait ]]; then trap "exit 75" USR1; echo $$ > waiting\n'
    "  while :; do command -p sleep 0.05; done; fi; exit $code",
    "squeue": "cat state",
    "scontrol": 'echo "scontrol $*" >> said',
    "scancel": 'echo "scancel $*" >> said\n'
    "if [[ -e waiting ]]; then kill -USR1 $(<waiting); fi",
    "sleep": ":",
    "sbatch": "cat > submitted; echo 17",
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder in which Slurm's commands are stand-ins that write down what is said."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in _COMMANDS.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state").write_text("RUNNING\n")
    (tmp_path / "runs").mkdir()  # Where the log is.
    return tmp_path


def _job(**changed):
    return Job(
        **{"name": "a", "nodes": 2, "tasks_per_node": 1, "time": None,
           "save_seconds": 90, "restarts": 2, "options": {}} | changed
    )  # fmt: skip


def _run(folder, codes, **changed):
    (folder / "codes").write_text("".join(f"{code}\n" for code in codes))
    text = script(_job(**changed), ["train", "mlp"], "runs/1", str(folder))
    return subprocess.Popen(["bash", "-c", text], stdout=subprocess.PIPE, text=True)


def _said(folder):
    return [line.split() for line in (folder / "said").read_text().splitlines()]


@pytest.mark.parametrize(
    ("codes", "code", "starts", "requeued"),
    [
        ([0], 0, 1, False),
        ([2], 2, 1, False),
        ([75], 75, 1, True),
        ([137, 1, 0], 0, 3, False),
        ([137, 1, 1], 1, 3, False),
        ([1, 75], 75, 2, True),
    ],
    ids=str,
)
def test_the_script_goes_on_as_the_workers_ended(slurm, codes, code, starts, requeued):
    process = _run(slurm, codes)
    said_by_script, _ = process.communicate(timeout=60)
    assert process.returncode == code, said_by_script
    said = _said(slurm)
    assert sum(words[0] == "srun" for words in said) == starts
    assert (["scontrol", "requeue", "17"] in said) == requeued
    assert said[0][-4:] == ["train", "mlp", "--run-dir", "runs/1"]
    assert "given up after 3 failures" in said_by_script or starts < 3 or not code


def test_a_job_that_comes_no_further_is_given_up(slurm):
    codes = []
    checkpoints = slurm / "runs" / "1" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for step in (None, None, 40, 80, None, None, None):
        if step is not None:
            (checkpoints / f"step-{step}").mkdir()
        process = _run(slurm, [75])
        said, _ = process.communicate(timeout=60)
        codes.append(process.returncode)
    assert codes == [75, 75, 75, 75, 75, 1, 1]
    assert "stopped three times at one step; more --time?" in said


def test_a_job_without_a_first_checkpoint_is_given_up(slurm):
    codes = []
    for _ in range(3):
        process = _run(slurm, [75])
        process.communicate(timeout=60)
        codes.append(process.returncode)
    assert codes == [75, 75, 1]


def test_a_job_that_was_cancelled_is_not_requeued(slurm):
    (slurm / "state").write_text("COMPLETING\n")
    process = _run(slurm, [75])
    process.communicate(timeout=60)
    assert process.returncode == 75
    assert all(words[0] != "scontrol" for words in _said(slurm))


def test_a_signal_to_the_script_reaches_the_workers_and_is_waited_for(slurm):
    process = _run(slurm, ["wait"])
    deadline = time.monotonic() + 30
    while not (slurm / "waiting").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 75
    assert ["scancel", "--signal=TERM", "17"] in _said(slurm)
    assert ["scontrol", "requeue", "17"] in _said(slurm)


def test_a_scancel_that_is_not_answered_holds_nothing_up(slurm):
    (slurm / "programs" / "scancel").write_text(
        "#!/bin/bash\nkill -USR1 $(<waiting)\nexec /bin/sleep 100\n"
    )
    process = _run(slurm, ["wait"])
    while not (slurm / "waiting").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    # Its output ends when nothing that it has started is left.
    process.communicate(timeout=30)
    assert process.returncode == 75


def test_a_signal_behind_the_step_does_not_reach_the_next_start(slurm):
    (slurm / "programs" / "scontrol").write_text("#!/bin/bash\nkill -TERM $PPID\n")
    process = _run(slurm, [75])
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert all(words[0] != "scancel" for words in _said(slurm))


def test_seeds_are_an_array_of_jobs(slurm, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    _run(slurm, [0], seeds=(3, 8)).communicate(timeout=60)
    (started,) = _said(slurm)
    assert started[-6:] == ["train", "mlp", "--seed", "8", "--run-dir", "runs/1-seed8"]
    text = script(_job(seeds=(3, 8)), ["train", "mlp"], "runs/1", str(slurm))
    assert "#SBATCH --array=0-1\n" in text


def test_a_search_is_an_array_of_jobs_on_one_study(slurm, capfd, monkeypatch):
    search = ["tune", "cnn", "--field", "dropout=0..0.5", "--jobs", "2"]
    assert main(["launch", "slurm", "--searches", "8", "--", *search]) == 0
    said = capfd.readouterr()
    assert "Submitted job 17. The study will be in studies/cnn-1" in said.out
    assert "note: the study is in SQLite" in said.err
    text = (slurm / "submitted").read_text()
    assert "#SBATCH --array=0-7\n" in text
    assert "#SBATCH --output=studies/cnn-1-%a.slurm.log\n" in text
    assert '--jobs 2 --concurrency 16 --study "$run"' in text
    # The next one is another study; one that is named goes on.
    assert main(["launch", "slurm", "--", *search, "--storage", "postgresql://x"]) == 0
    said = capfd.readouterr()
    assert ("studies/cnn-2" in said.out, said.err) == (True, "")
    assert "#SBATCH --array" not in (slurm / "submitted").read_text()

    # Each job of the array is given up by itself, when it trains nothing between stops.
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    trial = slurm / "runs" / "1" / "trials" / "0000"
    trial.mkdir(parents=True)
    codes = []
    for epochs in (1, 2, 3, 3, 3):
        (trial / "history.csv").write_text("epoch\n" * epochs)
        process = _run(slurm, [75], searches=8)
        process.communicate(timeout=60)
        codes.append(process.returncode)
    assert codes == [75, 75, 75, 75, 1]
    assert (slurm / "runs" / "1-3.slurm.stops").exists()


@pytest.mark.parametrize(
    ("own", "command", "match"),
    [
        (["--searches", "2"], "train", "searches: expected with tune behind --"),
        (["--seeds", "1", "2"], "tune", "seeds: expected with train behind --"),
    ],
)
def test_arrays_are_of_seeds_or_of_one_study(slurm, capfd, own, command, match):
    assert main(["launch", "slurm", *own, "--", command, "mlp"]) == 2
    assert match in capfd.readouterr().err


def test_a_dry_run_shows_the_script_and_submits_nothing(slurm, capfd):
    folder = "a folder"
    command = ["--nodes", "4", "--time", "8:00:00", "--partition", "gpu", "--sbatch"]
    command += ["qos=low", "--dry-run", "True", "--"]
    train = ["train", "mlp", "--run-dir", folder, "--epochs", "3"]
    assert main(["launch", "slurm", *command, *train]) == 0
    text = capfd.readouterr().out
    lines = re.findall(r"#SBATCH --(\S+)", text)
    asked = {"nodes=4", "time=8:00:00", "partition=gpu", "qos=low", "requeue"}
    assert asked <= set(lines)
    assert "signal=TERM@120" in lines
    (srun,) = (line for line in text.splitlines() if line.strip().startswith("srun"))
    words = shlex.split(srun)[:-1]
    at = words.index(sys.executable)
    assert words[at + 1 :] == [
        "-m", "kerascale", "train", "mlp", "--epochs", "3", "--run-dir", "$run",
    ]  # fmt: skip
    assert f"run={shlex.quote(folder)}\n" in text
    assert not (slurm / "submitted").exists()
    assert not list(slurm.glob("*.json"))


def test_as_many_nodes_as_there_are(slurm, capfd):
    own = ["--nodes", "4", "--min-nodes", "2", "--dry-run", "True"]
    assert main(["launch", "slurm", *own, "--", "train", "mlp"]) == 0
    text = capfd.readouterr().out
    assert "#SBATCH --nodes=2-4\n#SBATCH --mincpus=1\n" in text
    # With tasks, Slurm gives no more nodes than the least have tasks.
    assert "#SBATCH --ntasks" not in text
    assert '--ntasks="$((SLURM_JOB_NUM_NODES * 1))"' in text
    own = ["--nodes", "2", "--min-nodes", "3"]
    assert main(["launch", "slurm", *own, "--", "train", "mlp"]) == 2
    assert "min_nodes: expected no more than nodes (2)" in capfd.readouterr().err


def test_submitted_followed_and_cancelled(slurm, capfd):
    (slurm / "state").write_text("17|PENDING|Resources|0:00|\n")
    assert main(["launch", "slurm", "--", "train", "mlp"]) == 0
    assert "Submitted job 17. The run will be in runs/mlp/1" in capfd.readouterr().out
    assert "srun" in (slurm / "submitted").read_text()
    record = json.loads(pathlib.Path("runs/mlp/1.slurm.json").read_text())
    assert record["job"] == "17"
    assert main(["launch", "slurm", "status", "runs/mlp/1"]) == 0
    assert "job 17: pending, Resources" in capfd.readouterr().out
    # One at work on a folder keeps others out; the next number is free.
    again = ["launch", "slurm", "--", "train", "mlp"]
    assert main([*again, "--run-dir", "runs/mlp/1"]) == 2
    assert "which is that of job 17 (pending)" in capfd.readouterr().err
    assert main(again) == 0
    assert "runs/mlp/2" in capfd.readouterr().out
    assert main(["launch", "slurm", "cancel", "runs/mlp/1/"]) == 0
    assert ["scancel", "17"] in _said(slurm)
    # It is forgotten: its log is shown to the end.
    (slurm / "state").write_text("")
    pathlib.Path("runs/mlp/1.slurm.log").write_text("one\ntwo\n")
    assert main(["launch", "slurm", "logs", "runs/mlp/1"]) == 0
    assert "one\ntwo\n" in capfd.readouterr().out
    assert jobs.status("runs/mlp/1") == ["job 17: ended"]


def test_the_next_run_folder_is_the_first_that_is_free(slurm):
    (slurm / "runs" / "mlp" / "2").mkdir(parents=True)
    for number in (1, 40):
        (slurm / "runs" / "mlp" / f"{number}.slurm.json").write_text("{}")
    assert run_dir_of(["train", "mlp"]) == ("runs/mlp/3", ["train", "mlp"])
    assert run_dir_of(["train", "./mlp.py"])[0] == "runs/mlp/3"
    (slurm / "runs" / "mlp" / "4.slurm.json").write_text("{}")
    assert run_dir_of(["train", "mlp"])[0] == "runs/mlp/3"


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--time", "soon", "--sbatch", "qos", "--seeds", "1", "1", "--", "train", "a"],
         ["time: expected minutes", "sbatch: expected name=value",
          "seeds: expected each once"]),
        (["--nodes", "0", "--save-seconds", "-1", "--", "train", "mlp"],
         ["nodes: expected", "save_seconds: expected"]),
        (["--", "evaluate", "runs/1"], ["expected a command that can be launched"]),
        (["--nodes", "2"], ["expected -- between its flags and the command"]),
        (["status"], ["status: expected one run folder. Received: none"]),
        (["cancel", "nowhere"], ["beside which nowhere.slurm.json lies"]),
    ],
)  # fmt: skip
def test_bad_input_is_refused(slurm, capfd, arguments, messages):
    assert main(["launch", "slurm", *arguments]) == 2
    said = " ".join(capfd.readouterr().err.split())
    for message in messages:
        assert message in said
    assert not (slurm / "submitted").exists()


def test_without_slurm_its_absence_is_said(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["launch", "slurm", "--", "train", "mlp"]) == 2
    assert "expected Slurm's sbatch on this machine" in capfd.readouterr().err
    assert not list(tmp_path.rglob("*.json"))
