"""Versions come, take over and go while requests go on."""

import collections
import json
import shutil
import threading
import time

import pytest
from helpers import rest_models, rest_process

pytest_plugins = ["helpers.rest_fixtures"]


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """offset -> a SavedModel of y = x / 2 + offset."""
    base = tmp_path_factory.mktemp("exports")
    return {
        offset: rest_models.half_plus_two(base / str(offset), offset=float(offset))
        for offset in (1, 2, 3)
    }


def _promote(exports, offset, base, number):
    """As an export does: copied under another name, then renamed."""
    copy = base / f"writing-{number}"
    shutil.copytree(exports[offset], copy)
    copy.rename(base / str(number))


def _states(server, model):
    status, document = server.json("GET", f"/v1/models/{model}")
    if status != 200:
        return {}
    return {
        int(each["version"]): each["state"] for each in document["model_version_status"]
    }


def _offset(server, where=""):
    status, answer = server.predict("model", {"instances": [0.0]}, where)
    return (status, answer["predictions"][0] if status == 200 else answer["error"])


def _label(base, **labels):
    lines = "".join(
        f'version_labels {{ key: "{label}" value: {number} }}\n'
        for label, number in labels.items()
    )
    text = f'model_config_list {{ config {{ name: "model"\n{lines} }} }}'
    (base / "writing.config").write_text(text)
    (base / "writing.config").rename(base / "models.config")


def test_a_life(exports, tmp_path, serving):
    """One server sees all that can happen to a folder."""
    base = tmp_path / "model"
    base.mkdir()
    _promote(exports, 1, base, 1)
    with serving(base, "--poll-seconds", 0.1, log=tmp_path / "log") as server:
        assert _offset(server) == (200, 1.0)

        # A new version takes over, and the old one goes.
        _promote(exports, 2, base, 2)
        rest_process.until(lambda: _offset(server) == (200, 2.0))
        rest_process.until(
            lambda: _states(server, "model") == {1: "END", 2: "AVAILABLE"}
        )
        assert _offset(server, "/versions/1")[0] == 404

        # A label brings a version back beside the latest.
        _label(base, stable=1)
        rest_process.until(lambda: _offset(server, "/labels/stable") == (200, 1.0))
        assert _offset(server) == (200, 2.0)

        # A broken version is told of, and changes nothing else.
        (base / "3").mkdir()
        (base / "3" / "saved_model.pb").write_bytes(b"broken")
        rest_process.until(lambda: _states(server, "model").get(3) == "END")
        _, document = server.json("GET", "/v1/models/model/versions/3")
        (told,) = document["model_version_status"]
        assert told["status"]["error_code"] != "OK"
        assert "damaged" in told["status"]["error_message"]
        assert _offset(server) == (200, 2.0)
        # It is tried once, and again when it has been mended.
        time.sleep(0.5)
        assert server.said().count("version 3 was not loaded") == 1
        shutil.rmtree(base / "3")
        _promote(exports, 3, base, 3)
        rest_process.until(lambda: _offset(server) == (200, 3.0))

        # A label that is to move stays until its new version is there.
        _label(base, stable=4)
        time.sleep(0.5)
        assert _offset(server, "/labels/stable") == (200, 1.0)
        _promote(exports, 1, base, 4)
        rest_process.until(
            lambda: (
                _states(server, "model")
                == {1: "END", 2: "END", 3: "END", 4: "AVAILABLE"}
            )
        )
        assert _offset(server, "/labels/stable") == (200, 1.0)

        # What cannot be read leaves all as it was.
        (base / "models.config").write_text("model_config_list {")
        rest_process.until(lambda: "expected the text of a" in server.said())
        assert _offset(server, "/labels/stable") == (200, 1.0)
        (base / "models.config").unlink()

        # Rolled back: the version before comes, then this one goes.
        shutil.rmtree(base / "4")
        rest_process.until(lambda: _offset(server) == (200, 3.0))
        # The same number, another model.
        shutil.rmtree(base / "3")
        _promote(exports, 2, base, 3)
        rest_process.until(lambda: _offset(server) == (200, 2.0))

        # Nothing left: that is told, and ends when there is something again.
        for number in (1, 2, 3):
            shutil.rmtree(base / str(number))
        rest_process.until(
            lambda: (
                _offset(server)
                == (404, "Servable not found for request: Latest(model)")
            )
        )
        _promote(exports, 3, base, 1)
        rest_process.until(lambda: _offset(server) == (200, 3.0))
        assert server.stop() == 0


def test_a_request_ends_on_the_version_it_began_on(exports, tmp_path, serving):
    base = tmp_path / "model"
    base.mkdir()
    rest_models.slow(base / "1")
    with serving(base, "--poll-seconds", 0.1, log=tmp_path / "log") as server:
        answers = []
        asked = threading.Thread(
            target=lambda: answers.append(server.predict("model", {"instances": [3e3]}))
        )
        asked.start()
        time.sleep(0.3)
        _promote(exports, 3, base, 2)
        rest_process.until(lambda: _offset(server) == (200, 3.0))
        shutil.rmtree(base / "1")
        seen = _states(server, "model")[1]
        asked.join()
        assert answers == [(200, {"predictions": [3e3]})]
        assert seen in ("UNLOADING", "END")  # END where the request was quick.
        rest_process.until(lambda: _states(server, "model")[1] == "END")


def _under_load(exports, tmp_path, serving, seconds):
    """Four clients ask while versions are promoted and one is rolled back."""
    base = tmp_path / "model"
    base.mkdir()
    _promote(exports, 1, base, 1)
    # offset -> when it may first, and last, be answered.
    first, last = {1: 0.0}, {}
    wrong, counts = [], collections.Counter()
    done = threading.Event()

    def ask(server):
        while not done.is_set():
            began = time.monotonic()
            try:
                status, answer = _offset(server)
            except Exception as error:
                wrong.append(repr(error))
                return
            ended = time.monotonic()
            counts[answer] += 1
            if status != 200:
                wrong.append((status, answer))
            elif first.get(answer, ended) > ended or last.get(answer, began) < began:
                wrong.append((answer, began, ended, dict(first), dict(last)))

    with serving(base, "--poll-seconds", 0.1, log=tmp_path / "log") as server:
        clients = [threading.Thread(target=ask, args=(server,)) for _ in range(4)]
        for client in clients:
            client.start()
        try:
            for offset, number in ((2, 2), (3, 3)):
                time.sleep(seconds / 4)
                first[offset] = time.monotonic()
                _promote(exports, offset, base, number)
                rest_process.until(
                    lambda n=number: _states(server, "model").get(n) == "AVAILABLE"
                )
                # From now on the one before is not live any more.
                last[offset - 1] = time.monotonic()
            time.sleep(seconds / 4)
            del last[2]
            shutil.rmtree(base / "3")
            rest_process.until(lambda: _states(server, "model").get(3) == "END")
            last[3] = time.monotonic()
            time.sleep(seconds / 4)
        finally:
            done.set()
            for client in clients:
                client.join()
        assert server.stop() == 0
    assert wrong == []
    assert set(counts) == {1.0, 2.0, 3.0}
    return counts


def test_promoted_and_rolled_back_under_load(exports, tmp_path, serving):
    _under_load(exports, tmp_path, serving, seconds=4)


@pytest.mark.slow
def test_promoted_and_rolled_back_under_load_for_longer(exports, tmp_path, serving):
    counts = _under_load(exports, tmp_path, serving, seconds=30)
    print(json.dumps({str(offset): count for offset, count in counts.items()}))
