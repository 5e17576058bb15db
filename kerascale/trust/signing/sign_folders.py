"""Signs folders, and verifies signatures, by the library `model-signing`.

A signature is a Sigstore bundle around an in-toto statement with the sha256 of each
signed file.
"""

import base64
import dataclasses
import json
import os
import pathlib

from kerascale.errors import RefusedError
from kerascale.runtime import extras
from kerascale.serving.provenance import sha256_of
from kerascale.trust.signing import keys, signable
from kerascale.trust.signing.signable import Signable

_PACKAGES = ("model_signing", "OpenSSL", "cryptography")


class SignatureError(RuntimeError):
    """A signature that is missing, of another key, or of other files. The command line
    exits with 1."""


@dataclasses.dataclass(frozen=True)
class Signed:
    """A folder whose signature holds.

    Args:
        path: The folder.
        kind: `run` or `export`.
        signature: The signature's file.
        files: The files that are signed, by their names in the folder.
        unsigned: What else is in the folder, of which nothing is known.
    """

    path: pathlib.Path
    kind: str
    signature: pathlib.Path
    files: tuple[str, ...]
    unsigned: tuple[str, ...]


def sign(path: str | os.PathLike, *, key: str | os.PathLike) -> list[Signed]:
    """Signs a run folder, an exported version, or all versions in a folder.

    Of a run folder those files are signed that say what the model is and how good it
    was; logs, pages and checkpoints change later, and are not. Of an export every file
    is. A signature that is there is replaced.

    Args:
        path: The folder.
        key: A private key in PEM, of the curves P-256, P-384 or P-521; the password of
            one that is encrypted stands in `KERASCALE_KEY_PASSWORD`.

    Returns:
        What was signed.

    Raises:
        RefusedError: If the folder is none, or the key is no key; both at once.

    Example:

    ```python
    ks.sign("runs/mlp/1", key="signing.pem")
    ks.verify_signature("runs/mlp/1", key="signing.pem.pub")
    ```
    """
    found = _checked(path, keys.problem_with_private(pathlib.Path(key)))
    from model_signing import hashing, signing

    for each in found:
        each.signature.parent.mkdir(exist_ok=True)
        config = signing.Config()
        # The library hands the password on as it is, and its reader takes bytes.
        config.use_elliptic_key_signer(
            private_key=os.fspath(key), password=keys.password()
        )
        config.set_hashing_config(_hashing(hashing, each))
        config.sign(each.path, each.signature)
    return [_signed(each) for each in found]


def verify_signature(
    path: str | os.PathLike, *, key: str | os.PathLike
) -> list[Signed]:
    """Verifies that the files of a folder are those that were signed.

    Args:
        path: A run folder, an exported version, or a folder of versions, each of which
            must be signed.
        key: The public key in PEM.

    Returns:
        What is signed.

    Raises:
        RefusedError: If the folder is none, or the key is no key; both at once.
        SignatureError: If a signature is missing, or is not that of the key, or a file
            was changed, added or removed since.
    """
    found = _checked(path, keys.problem_with_public(pathlib.Path(key)))
    problems = []
    for each in found:
        problem = _problem(each, key)
        if problem is not None:
            problems.append(f"{each.path}: {problem}")
    if problems:
        raise SignatureError("; ".join(problems))
    return [_signed(each) for each in found]


def verify_version(folder: pathlib.Path, key: str | os.PathLike) -> None:
    """Verifies one exported version, before it is loaded.

    Raises:
        SignatureError: See `verify_signature`.
    """
    verify_signature(folder, key=key)


def refuse_bad_key(key: str | os.PathLike) -> None:
    """Refuses a public key with which nothing can be verified.

    Raises:
        RefusedError: Saying why; or that packages are missing.
    """
    extras.refuse_without("sign", "sign", _PACKAGES)
    problem = keys.problem_with_public(pathlib.Path(key))
    if problem is not None:
        raise RefusedError(problem.replace("--key", "--require-signature"))


def _checked(path: str | os.PathLike, problem: str | None) -> list[Signable]:
    """What a path stands for; everything that is wrong at once."""
    problems = [] if problem is None else [problem]
    found = []
    try:
        extras.refuse_without("sign", "sign", _PACKAGES)
        found = signable.find(pathlib.Path(path))
    except RefusedError as error:
        problems = [*error.problems, *problems]
    if problems:
        raise RefusedError(problems, heading="sign")
    return found


def _hashing(hashing: object, each: Signable) -> object:
    config = hashing.Config()
    # Else a file with one of git's names could be added without a trace.
    return config.set_ignored_paths(paths=each.ignored, ignore_git_paths=False)


def _problem(each: Signable, key: str | os.PathLike) -> str | None:
    from cryptography.exceptions import InvalidSignature
    from model_signing import hashing, verifying

    if not each.signature.is_file():
        return f"expected a signature. Received: none, in {each.signature}"
    config = verifying.Config()
    config.use_elliptic_key_verifier(public_key=os.fspath(key))
    config.set_hashing_config(_hashing(hashing, each))
    try:
        config.verify(each.path, each.signature)
    except InvalidSignature:
        return "the signature is not that of this key"
    except Exception as error:  # A bundle is read by many hands.
        is_other = str(error).startswith("Signature mismatch")
        return _changes(each) if is_other else _brief(error)
    return None


def _changes(each: Signable) -> str:
    """What is different, after the signature itself was found to be the key's."""
    bundle = json.loads(each.signature.read_text(encoding="utf-8"))
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    then = {r["name"]: r["digest"] for r in payload["predicate"]["resources"]}
    now = {name: sha256_of(each.path / name) for name in each.signed}
    found = {
        "changed": [name for name in then if now.get(name, then[name]) != then[name]],
        "missing": [name for name in then if name not in now],
        "added": [name for name in now if name not in then],
    }
    said = [f"{what}: {', '.join(sorted(n))}" for what, n in found.items() if n]
    return f"files are not those that were signed ({'; '.join(said)})"


def _brief(error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).replace("\n", " ")
    if "Key mismatch" in text:
        return "the signature was made with another key"
    return text if len(text) <= 400 else f"{text[:400]}..."


def _signed(each: Signable) -> Signed:
    return Signed(
        each.path,
        each.kind,
        each.signature,
        tuple(each.signed),
        tuple(each.ignored),
    )
