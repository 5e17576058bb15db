"""What `import kerascale` changes: large imports are not looked through for garbage."""

import pytest

# A module of that name that is as large as the real one.
_LARGE = """
import gc
seen = []
gc.callbacks.append(lambda phase, info: seen.append(phase))
kept = [[] for _ in range(200_000)]
gc.callbacks.clear()
"""

_IMPORTED = """
import gc, sys
{before}
import kerascale
sys.path.insert(0, {folder!r})
try:
    import keras
except ZeroDivisionError:
    print("failed")
else:
    print(len(keras.seen) > 0, end=" ")
print(gc.isenabled(), gc.get_freeze_count() > 200_000)
"""


@pytest.mark.parametrize(
    ("before", "module", "said"),
    [
        ("", _LARGE, "False True True"),
        # A user who has turned it off finds it so.
        ("gc.disable()", _LARGE, "False False False"),
        ("", _LARGE + "1 / 0\n", "failed True False"),
    ],
    ids=["on", "off", "fails"],
)
def test_an_import_of_keras_is_not_looked_through(
    before, module, said, run_python, tmp_path
):
    (tmp_path / "keras.py").write_text(module)
    code = _IMPORTED.format(before=before, folder=str(tmp_path))
    assert " ".join(run_python(code).stdout.split()) == said


_LATER = """
import gc, os, sys
os.environ["KERAS_BACKEND"] = {backend!r}
import kerascale
from kerascale.runtime import garbage
sys.path.insert(0, {folder!r})
import weakref
import keras
class Model:
    pass
model = Model()
model.itself, seen = model, weakref.ref(model)
import tensorflow
del model
for _ in range(2):
    gc.collect()
    print(seen() is None, end=" ")
    garbage.find_all_again()
"""


# On JAX TensorFlow is imported late: what a user has made is set aside for a while.
@pytest.mark.parametrize(
    ("backend", "said"), [("jax", "False True"), ("tensorflow", "True True")]
)
def test_what_a_user_made_before_a_later_import_is_freed(
    backend, said, run_python, tmp_path
):
    for name in ("keras", "tensorflow"):
        (tmp_path / f"{name}.py").write_text(_LARGE)
    code = _LATER.format(backend=backend, folder=str(tmp_path))
    assert run_python(code).stdout.strip() == said
