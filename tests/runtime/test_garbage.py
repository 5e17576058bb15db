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
