"""Signatures: what they notice, and what may change without breaking them."""

import json
import shutil

import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.cli import main
from kerascale.runs import layout
from kerascale.serving import provenance, record
from kerascale.serving.server import repository
from kerascale.serving.server.status import StatusError
from kerascale.trust.signing import keys, sign_folders
from kerascale.trust.signing.sign_folders import SignatureError

pytest.importorskip("model_signing")
pytest.importorskip("OpenSSL")


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "signing.pem"
    keys.make(path)
    return path


@pytest.fixture(scope="module")
def public(key):
    return key.with_name("signing.pem.pub")


@pytest.fixture
def run(tmp_path):
    """The files of a run; a signature does not look into them."""
    folder = tmp_path / "run"
    (folder / layout.CHECKPOINTS).mkdir(parents=True)
    for name in (layout.CONFIG, layout.EVALUATION, layout.MODEL, layout.HISTORY):
        (folder / name).write_text(name)
    (folder / layout.CHECKPOINTS / "best.weights.h5").write_text("weights")
    return folder


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """A version as TensorFlow writes it."""
    base = tmp_path_factory.mktemp("served")

    class Doubles(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32, name="x")])
        def __call__(self, x):
            return {"y": 2 * x}

    module = Doubles()
    signatures = {"serving_default": module.__call__}
    tf.saved_model.save(module, str(base / "1"), signatures=signatures)
    (base / "1" / record.EXTRA).mkdir()
    return base


def test_a_run_that_was_signed_is_verified(run, key, public):
    (signed,) = ks.sign(run, key=key)
    assert signed.files == (
        "config.json",
        "evaluation.json",
        "history.csv",
        "model.keras",
    )
    assert "checkpoints" in signed.unsigned
    (verified,) = ks.verify_signature(run, key=public)
    assert verified == signed


def test_what_is_written_later_breaks_nothing(run, key, public):
    ks.sign(run, key=key)
    (run / layout.REPORT).write_text("a page")
    (run / layout.AUDIT).write_text("{}")
    (run / layout.CARD).write_text("# card")
    (run / "compressed" / "int8").mkdir(parents=True)
    shutil.rmtree(run / layout.CHECKPOINTS)
    ks.verify_signature(run, key=public)


def test_what_the_model_is_may_not_change(run, key, public):
    ks.sign(run, key=key)
    (run / layout.MODEL).write_text("another model")
    (run / layout.HISTORY).unlink()
    # Loading a run would put it in front of the model.
    (run / layout.VECTORIZER).write_text("added")
    said = "changed: model.keras; missing: history.csv; added: vectorizer.keras"
    with pytest.raises(SignatureError, match=said):
        ks.verify_signature(run, key=public)


def test_another_key_and_no_signature_are_told(run, key, public, tmp_path):
    with pytest.raises(SignatureError, match=r"expected a signature. Received: none"):
        ks.verify_signature(run, key=public)
    ks.sign(run, key=key)
    other = keys.make(tmp_path / "other.pem")
    with pytest.raises(SignatureError, match="was made with another key"):
        ks.verify_signature(run, key=other)
    # The other's fingerprint on the same signature does not help.
    signature = run / layout.SIGNATURE
    theirs = tmp_path / "theirs"
    shutil.copytree(run, theirs)
    ks.sign(theirs, key=tmp_path / "other.pem")
    mixed = json.loads(signature.read_text())
    hint = json.loads((theirs / layout.SIGNATURE).read_text())
    mixed["verificationMaterial"] = hint["verificationMaterial"]
    signature.write_text(json.dumps(mixed))
    with pytest.raises(SignatureError, match="not that of this key"):
        ks.verify_signature(run, key=other)
    signature.write_text("{}")
    with pytest.raises(SignatureError):
        ks.verify_signature(run, key=public)


def test_keys_that_are_none_are_refused_with_the_rest(
    run, key, public, tmp_path, capsys
):
    bad = tmp_path / "bad.pem"
    bad.write_text("hello")
    with pytest.raises(ks.RefusedError, match="2 problems") as refused:
        ks.sign(tmp_path / "nowhere", key=bad)
    assert "expected a private key in PEM" in str(refused.value)
    assert "expected the folder of a finished run" in str(refused.value)
    with pytest.raises(ks.RefusedError, match="expected the private key"):
        ks.sign(run, key=public)
    with pytest.raises(ks.RefusedError, match="expected the public key"):
        ks.verify_signature(run, key=key)
    (run / layout.EVALUATION).unlink()
    assert main(["sign", str(run), "--key", str(tmp_path / "none.pem")]) == 2
    said = capsys.readouterr().err
    assert "expected a finished run" in said
    assert "expected a file with a key" in said


def test_keys_with_a_password(run, public, key, tmp_path, monkeypatch):
    """The library passes a text on to a reader that takes bytes."""
    from cryptography.hazmat.primitives import serialization

    own = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        own.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ks.RefusedError, match=f"expected {keys.PASSWORD}"):
        ks.sign(run, key=locked)
    monkeypatch.setenv(keys.PASSWORD, "secret")
    ks.sign(run, key=locked)
    ks.verify_signature(run, key=public)


def test_keys_are_made_for_their_owner_alone(tmp_path):
    path = tmp_path / "new.pem"
    public = keys.make(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"PUBLIC KEY" in public.read_bytes()
    with pytest.raises(ks.RefusedError, match="which is there"):
        keys.make(path)


def test_a_server_loads_what_was_signed_alone(export, key, public):
    folder = export / "1"

    def check(path):
        sign_folders.verify_version(path, key=public)

    with pytest.raises(StatusError, match="expected a signature"):
        repository.load_and_try(folder, check)
    (signed,) = ks.sign(export, key=key)
    assert signed.signature == folder / record.EXTRA / record.SIGNATURE
    servable, _ = repository.load_and_try(folder, check)
    assert "serving_default" in servable.signatures
    stray = folder / "assets" / "stray.txt"
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("added")
    with pytest.raises(StatusError, match=r"added: assets/stray.txt"):
        repository.load_and_try(folder, check)
    stray.unlink()


def test_an_export_with_a_signature_is_not_changed(export, key):
    """`kerascale versions` looks for files that are not what was exported."""
    before = record.sums(export / "1")
    ks.sign(export / "1", key=key)
    assert record.sums(export / "1") == before


def test_provenance_is_a_statement_of_in_toto():
    statement = pytest.importorskip("in_toto_attestation.v1.statement")
    from google.protobuf import json_format
    from in_toto_attestation.v1 import statement_pb2

    origin = {
        "recipe": "mlp",
        "fields": {"epochs": 3},
        "data": {"name": "digits", "fingerprint": "ab" * 32},
        "run_files": {
            "files": {"model.keras": "cd" * 32},
            "parent": {"name": "runs/mlp/1/model.keras", "sha256": "ef" * 32},
        },
    }
    found = provenance.statement(origin, {"saved_model.pb": {"sha256": "01" * 32}})
    message = statement_pb2.Statement()
    json_format.ParseDict(found, message)
    statement.Statement.copy_from_pb(message).validate()
    materials = found["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [each["name"] for each in materials] == [
        "run/model.keras",
        "data/digits",
        "parent/runs/mlp/1/model.keras",
    ]
