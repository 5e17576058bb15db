"""Compiled programs go from one process to the next, and damaged ones do not."""

import fcntl
import os
import time

import pytest

from kerascale.runtime import xla_cache

_TRAIN = """
import kerascale as ks, keras, numpy as np
keras.utils.set_random_seed(0)
model = ks.scale(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
model.compile("adam", "mse", jit_compile=True, steps_per_execution=4)
x = np.linspace(-1, 1, 64, dtype="float32").reshape(16, 4)
history = model.fit(x, x[:, :3], batch_size=4, shuffle=False, verbose=0)
print(history.history["loss"][0].hex())
"""


@pytest.fixture
def kept(run_python, tmp_path, monkeypatch):
    """A process that keeps programs, and the files that it keeps."""
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    env = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}

    def run(code, **more):
        told = run_python(code, env=env | more).stdout.strip()
        files = sorted((tmp_path / "cache" / "programs").glob("*/*"))
        assert not list(tmp_path.glob("kerascale-programs-*"))  # Nothing is left.
        return told, files

    return run


def _process(do):
    """Code of a process that does something between `fetch` and `keep`."""
    return f"""
import os, pathlib, kerascale
from kerascale.runtime import xla_cache
xla_cache.fetch(["1"])
own = pathlib.Path(os.environ["TF_XLA_FLAGS"].partition("=")[2])
{do}
xla_cache.keep(["1"])
print(sorted(path.name for path in own.glob("*")))
"""


@pytest.mark.slow
def test_what_one_process_compiles_the_next_one_finds(kept):
    loss, files = kept(_TRAIN)
    assert files
    damaged = max(files, key=lambda path: path.stat().st_size)
    damaged.write_bytes(damaged.read_bytes()[:1000])
    again, files_again = kept(_TRAIN)
    assert again == loss
    # Of TensorFlow's names, so it was these that it looked for.
    assert [_name(path) for path in files_again] == [_name(path) for path in files]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["one_program", "split"])
def test_programs_are_found_whatever_was_traced_before(mode, kept):
    train = f"""
import kerascale as ks, keras, numpy as np
from kerascale.engine.execution import step_functions
from kerascale.engine.execution.modes import Mode
keras.utils.set_random_seed(0)
model = ks.scale(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
model.compile("adam", "mse")
x = np.linspace(-1, 1, 64, dtype="float32").reshape(16, 4)
step_functions.set_mode(model, Mode("{mode}", 4))
model.fit(x, x[:, :3], batch_size=4, shuffle=False, verbose=0)
print(step_functions.mode_of(model).kind)
"""
    # It counts names on, and so does an edit of the data's code.
    more = "import tensorflow as tf\ntf.function(lambda: tf.zeros(3) + tf.ones(3))()\n"
    told, files = kept(train)
    assert told == mode
    assert files
    again, files_again = kept(train.replace("keras.utils", more + "keras.utils"))
    assert again == mode
    assert [_name(path) for path in files_again] == [_name(path) for path in files]
    assert all(path.stat().st_size > 1000 for path in files_again)


def test_only_whole_files_are_handed_on(kept):
    _, files = kept(_process("[(own / f'{n}.pb').write_text('x') for n in 'ab']"))
    assert [path.name[:4] for path in files] == ["a.pb", "b.pb"]
    files[0].write_text("y")
    told, files = kept(_process(""))
    assert told == "['b.pb']"
    assert [path.name[:4] for path in files] == ["b.pb"]


def test_what_comes_later_is_kept_too(kept):
    """Where nothing came since, nothing is looked at: each `fit` asks twice."""
    _, files = kept(
        _process(
            "(own / 'a.pb').write_text('x'); xla_cache.keep(['1']); "
            "xla_cache.keep(['1']); (own / 'b.pb').write_text('x')"
        )
    )
    assert [path.name[:4] for path in files] == ["a.pb", "b.pb"]


def test_folders_of_killed_processes_are_removed(kept, run_python, tmp_path):
    def folder(name, age):
        path = tmp_path / name
        path.mkdir()
        (path / "a.pb").write_text("x")
        then = time.time() - age
        os.utime(path, (then, then))
        return path

    killed = folder("kerascale-programs-1", age=3600)
    young = folder("kerascale-programs-2", age=1)
    alive = folder("kerascale-programs-3", age=3600)
    lock = os.open(alive, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    run_python(
        "from kerascale.runtime import xla_cache; xla_cache.fetch(['1'])",
        env={"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
    )
    os.close(lock)
    assert not killed.exists()
    assert young.exists()
    assert alive.exists()
    # Locked by nobody any more, and by a process that has ended as it should.
    assert set(tmp_path.glob("kerascale-programs-*")) == {young, alive}


def test_what_others_could_have_written_is_not_executed(kept):
    _, (file,) = kept(_process("(own / 'a.pb').write_text('x')"))
    assert file.stat().st_mode & 0o077 == 0
    file.chmod(0o660)
    assert kept(_process(""))[0] == "[]"


def test_other_versions_and_settings_have_programs_of_their_own(kept):
    kept(_process("(own / 'a.pb').write_text('x')"))
    assert kept(_process(""))[0] == "['a.pb']"
    assert kept(_process("").replace('"1"', '"2"'))[0] == "[]"
    assert kept(_process(""), TF_NUM_INTRAOP_THREADS="7")[0] == "[]"
    assert kept(_process(""), XLA_FLAGS="--xla_cpu_enable_fast_math=true")[0] == "[]"


def test_those_unused_for_the_longest_go_first(kept):
    limit = "xla_cache.program_store._MOST_BYTES = 25\n"
    write = "(own / '{0}.pb').write_text('{0}' * 10)"
    for name in "abc":
        _, files = kept(_process(limit + write.format(name)))
    assert [path.name[0] for path in files] == ["b", "c"]


def test_a_folder_without_room_is_not_announced(monkeypatch, tmp_path):
    monkeypatch.setattr(xla_cache.shutil, "disk_usage", lambda _: _Usage())
    monkeypatch.setattr(xla_cache, "_own", None)
    environ = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_XLA_FLAGS": "--tf_xla_auto_jit=1"}
    xla_cache.announce(environ)
    assert environ["TF_XLA_FLAGS"] == "--tf_xla_auto_jit=1"


def _name(path):
    return path.name.rpartition("-")[0]


class _Usage:
    free = 1000
