"""Addresses of object stores are no paths: they are refused, and nothing is made."""

import pathlib

import pytest

import kerascale as ks
from kerascale.cli import main
from kerascale.datasets import read
from kerascale.runs.folder import RunFolder


@pytest.mark.parametrize("address", ["s3://bucket/run", "gs://bucket/run"])
def test_a_run_folder_is_on_a_file_system(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ks.RefusedError, match="run_dir: expected a path in a file"):
        RunFolder.check(address)
    with pytest.raises(ks.RefusedError, match="object store"):
        RunFolder(pathlib.Path(address), "mlp")
    with pytest.raises(ks.RefusedError, match="Copy the run folder to this host"):
        ks.load_run(address)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("csv:az://b/x.csv", "expected data on this host, or at s3:// or gs://"),
        ("s3://b/x.npz", r"Did you mean npz:s3://b/x\.npz"),
    ],
)
def test_data_is_on_this_host_or_at_a_store_that_is_read(name, match):
    with pytest.raises(ks.RefusedError, match=match):
        read(name)


def test_a_path_with_a_colon_is_a_path(tmp_path):
    RunFolder.check(tmp_path / "s3:mine" / "run")


@pytest.mark.parametrize(
    "arguments",
    [
        ["pack", "digits", "s3://b/packed"],
        ["launch", "slurm", "--", "train", "mlp", "--run-dir", "gs://b/run"],
        ["tune", "mlp", "--study", "gs://b/study", "--trials", "1"],
        ["pack", "csv:hdfs://b/t.csv", "packed", "--label", "y"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_no_command_makes_a_folder_of_such_a_name(
    arguments, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert "expected" in capsys.readouterr().err
    assert not list(tmp_path.glob("*:"))
