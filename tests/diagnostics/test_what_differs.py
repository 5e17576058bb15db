"""Two runs of `kerascale chaos` are the same only if both have the same."""

from kerascale.diagnostics.chaos import checksums


def test_what_only_one_run_has_differs():
    one = {"history.csv": "a", "model dense/0": "b"}
    assert checksums.differences(one, dict(one)) == []
    assert checksums.differences(one, {"history.csv": "a"}) == ["model dense/0"]
    assert checksums.differences({"history.csv": "a"}, one) == ["model dense/0"]
