"""What `import kerascale` sets for TensorFlow, and what it leaves alone."""

import json
import os
import sys

import pytest

from kerascale.diagnostics.doctor import processor
from kerascale.runtime import allocator, tf_environment

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
        monkeypatch.delenv(tf_environment.ONEDNN, raising=False)
        return json.loads(run_python(code, env=_CLEAR | env).stdout)

    return see


def test_a_users_own_setting_stays(seen):
    flags = "--tf_xla_persistent_cache_directory=/mine --tf_xla_auto_jit=1"
    after = seen(**{tf_environment.ONEDNN: "0", "TF_XLA_FLAGS": flags})
    assert after[tf_environment.ONEDNN] == "0"
    assert after["TF_XLA_FLAGS"] == flags


def test_nothing_is_set_where_tensorflow_is_there_already(seen):
    """It would not be read any more: a child of this process would differ from it."""
    code = (
        f"import sys, types; sys.modules['tensorflow'] = types.ModuleType('x'); {_SHOW}"
    )
    after = seen(code, TF_CPP_MIN_LOG_LEVEL="3")
    assert tf_environment.ONEDNN not in after
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
    assert (
        tf_environment.has_gpu({"CUDA_VISIBLE_DEVICES": visible}, tmp_path) is expected
    )


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="flags of x86")
def test_doctor_tells_of_kernels_that_would_be_faster():
    (off,) = processor.look_at_kernels({}, _AVX2)
    assert off.level == "ok"
    assert "set TF_ENABLE_ONEDNN_OPTS=1" in off.found
    (on,) = processor.look_at_kernels({tf_environment.ONEDNN: "1"}, _AVX2)
    assert "oneDNN as you have set it" in on.found
    (old,) = processor.look_at_kernels({}, frozenset({"sse2"}))
    assert "as TensorFlow chooses" in old.found


_ALLOCATE = """
import json, os, resource
import kerascale
import tensorflow as tf
from kerascale.runtime import allocator

@tf.function
def step(x):
    for _ in range(3):
        x = tf.linalg.matmul(x, tf.transpose(x))
        x = x / tf.norm(x)
    return tf.reduce_sum(x)

x = tf.ones([1800, 1800])
for i in range(12):
    if i == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    float(step(x))
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(json.dumps([allocator.keeps_memory(os.environ), faults]))
"""


@pytest.mark.slow
def test_memory_that_a_step_frees_is_kept(seen):
    """Ten steps of some 13 MB, nine times: of 4 KiB a page that is 280,000.

    Without oneDNN's kernels, which take memory for themselves on some processors. How
    many faults are left differs from machine to machine.
    """
    onednn = {tf_environment.ONEDNN: "0"}
    keeps, faults = seen(_ALLOCATE, **onednn)
    assert keeps
    keeps, more = seen(_ALLOCATE, TF_CPU_ALLOCATOR_USE_BFC="false", **onednn)
    assert not keeps
    assert more > 10 * faults


def test_all_memory_can_be_allocated(monkeypatch):
    """TensorFlow's own limit is 64 GiB."""
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**25 + 2**10}
    monkeypatch.setattr(os, "sysconf", pages.get)
    environ = {}
    allocator.keep_memory(environ)
    assert environ == {
        "TF_CPU_ALLOCATOR_USE_BFC": "true",
        "TF_CPU_BFC_MEM_LIMIT_IN_MB": str(128 * 2**10 + 4),
    }
    own = {"TF_CPU_BFC_MEM_LIMIT_IN_MB": "700"}
    allocator.keep_memory(own)
    assert own["TF_CPU_BFC_MEM_LIMIT_IN_MB"] == "700"


def test_a_users_own_allocator_stays(monkeypatch):
    own = {"TF_CPU_ALLOCATOR_USE_BFC": "0"}
    allocator.keep_memory(own)
    assert own == {"TF_CPU_ALLOCATOR_USE_BFC": "0"}
    assert allocator.why_not(own) == "TF_CPU_ALLOCATOR_USE_BFC is 0"
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert allocator.why_not({}) == "64 cores, measured with few"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert allocator.why_not({}) == "measured on Linux alone"
