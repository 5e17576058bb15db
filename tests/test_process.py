"""What `import kerascale` sets for TensorFlow, and what it leaves alone."""

import json
import os

import pytest

from kerascale import allocator, process
from kerascale.doctor import processor

_SHOW = (
    "import json, os, sys, kerascale; assert 'numpy' not in sys.modules; "
    "print(json.dumps(dict(os.environ)))"
)
_AVX2 = frozenset({"avx2", "fma"})
_CLEAR = {"TF_XLA_FLAGS": "", "CUDA_VISIBLE_DEVICES": "-1"}


@pytest.fixture
def seen(run_python, monkeypatch):
    """The environment variables after `import kerascale`."""

    def see(code=_SHOW, **env):
        monkeypatch.delenv(process.ONEDNN, raising=False)
        return json.loads(run_python(code, env=_CLEAR | env).stdout)

    return see


def test_a_users_own_setting_stays(seen):
    flags = "--tf_xla_persistent_cache_directory=/mine --tf_xla_auto_jit=1"
    after = seen(**{process.ONEDNN: "0", "TF_XLA_FLAGS": flags})
    assert after[process.ONEDNN] == "0"
    assert after["TF_XLA_FLAGS"] == flags


def test_nothing_is_set_where_tensorflow_is_there_already(seen):
    """It would not be read any more: a child of this process would differ from it."""
    code = (
        f"import sys, types; sys.modules['tensorflow'] = types.ModuleType('x'); {_SHOW}"
    )
    after = seen(code, TF_CPP_MIN_LOG_LEVEL="3")
    assert process.ONEDNN not in after
    assert after["TF_XLA_FLAGS"] == ""


def test_a_child_has_a_folder_for_programs_of_its_own(seen):
    before = seen(TF_CPP_MIN_LOG_LEVEL="3", TF_XLA_FLAGS="--tf_xla_auto_jit=1")
    other, own = before["TF_XLA_FLAGS"].split()
    assert other == "--tf_xla_auto_jit=1"
    assert own.startswith("--tf_xla_persistent_cache_directory=")
    child = seen(TF_CPP_MIN_LOG_LEVEL="3", TF_XLA_FLAGS=before["TF_XLA_FLAGS"])
    assert len(child["TF_XLA_FLAGS"].split()) == 2
    assert own not in child["TF_XLA_FLAGS"]


def test_programs_are_not_kept_where_each_would_write_an_error(seen):
    assert "TF_XLA_FLAGS" not in seen(TF_CPP_MIN_LOG_LEVEL="0")


@pytest.mark.parametrize(
    ("visible", "there", "expected"),
    [("-1", True, False), ("", True, False), ("0,1", True, True), ("0", False, False)],
)
def test_has_gpu(visible, there, expected, tmp_path):
    if there:
        (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()
    assert process.has_gpu({"CUDA_VISIBLE_DEVICES": visible}, tmp_path) is expected


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="flags of x86")
def test_doctor_tells_of_kernels_that_would_be_faster():
    (off,) = processor.look_at_kernels({}, _AVX2)
    assert off.level == "ok"
    assert "set TF_ENABLE_ONEDNN_OPTS=1" in off.found
    (on,) = processor.look_at_kernels({process.ONEDNN: "1"}, _AVX2)
    assert "oneDNN as you have set it" in on.found
    (old,) = processor.look_at_kernels({}, frozenset({"sse2"}))
    assert "as TensorFlow chooses" in old.found


_ALLOCATE = """
import json, resource, threading
import kerascale
from kerascale import allocator

def allocate():
    global faults
    for i in range(12):
        if i == 2:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [b"x" * (20 << 20) for _ in range(3)]
        del blocks
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

thread = threading.Thread(target=allocate)
thread.start()
thread.join()
print(json.dumps([allocator.keeps_memory(), faults]))
"""


def test_memory_that_a_thread_frees_is_kept(seen):
    """Ten times 60 MB: of 4 KiB a page that is 150,000."""
    keeps, faults = seen(_ALLOCATE, KERASCALE_KEEP_MEMORY="1")
    assert keeps
    assert faults < 20_000


_ASKED = {allocator.VARIABLE: "1"}


def test_a_users_own_allocator_stays(seen):
    keeps, faults = seen(_ALLOCATE)
    assert not keeps
    assert faults > 100_000
    assert allocator.why_not({}) == "KERASCALE_KEEP_MEMORY is not 1"
    preloaded = {"LD_PRELOAD": "libjemalloc.so", **_ASKED}
    assert allocator.why_not(preloaded) == "LD_PRELOAD is set"
    own = {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=7", **_ASKED}
    assert allocator.why_not(own) == "GLIBC_TUNABLES is set"
    own = {"MALLOC_ARENA_MAX": "2", **_ASKED}
    assert allocator.why_not(own) == "MALLOC_ARENA_MAX is set"


def test_with_many_cores_nothing_is_set(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert allocator.why_not(_ASKED) == "64 cores, measured with few"
