"""Keys: elliptic curves in PEM files, as OpenSSL writes them."""

import os
import pathlib
from typing import Any

from kerascale.errors import RefusedError

PASSWORD = "KERASCALE_KEY_PASSWORD"
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_MAKE = "kerascale sign --make-key makes one"


def make(path: pathlib.Path) -> pathlib.Path:
    """Makes a private key that only its owner can read, and its public key beside it.

    Args:
        path: Of the private key; it must not be there.

    Returns:
        The public key: the same name with `.pub`.

    Raises:
        RefusedError: If there is a file already, or it cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    public = path.with_name(f"{path.name}.pub")
    there = [str(each) for each in (path, public) if each.exists()]
    if there:
        raise RefusedError(
            f"--make-key: expected names of new files. Received: {', '.join(there)}, "
            "which is there. Leave --make-key out to sign with it."
        )
    key = ec.generate_private_key(ec.SECP256R1())
    private_text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public_text = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    try:
        # Never readable for others, not for a moment.
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(private_text)
        public.write_bytes(public_text)
    except OSError as error:
        raise RefusedError(
            f"--key: expected a place that can be written. Received: "
            f"{error.filename or path} ({error.strerror})."
        ) from error
    return public


def password() -> bytes | None:
    """The password of private keys, out of the environment."""
    found = os.environ.get(PASSWORD)
    return found.encode() if found else None


def problem_with_private(path: pathlib.Path) -> str | None:
    """Why nothing can be signed with a key; None: it can."""
    content = _content(path)
    if isinstance(content, str):
        return f"{content} {_MAKE}."
    from cryptography.hazmat.primitives import serialization

    if b"PUBLIC KEY" in content:
        return (
            f"--key: expected the private key. Received: {path}, a public one, with "
            "which signatures are verified."
        )
    try:
        key = serialization.load_pem_private_key(content, password())
    except TypeError:
        is_given = password() is not None
        return (
            f"--key: expected {'no ' if is_given else ''}{PASSWORD} in the environment "
            f"for this key. Received: {path}, which is "
            f"{'not ' if is_given else ''}encrypted."
        )
    except Exception as error:  # Whatever the library makes of any bytes.
        return _no_key(path, "a private key in PEM", error)
    return _other_curve(path, key)


def problem_with_public(path: pathlib.Path) -> str | None:
    """Why nothing can be verified with a key; None: it can."""
    content = _content(path)
    if isinstance(content, str):
        return content
    from cryptography.hazmat.primitives import serialization

    if b"PRIVATE KEY" in content:
        return (
            f"--key: expected the public key. Received: {path}, a private one, which "
            "should not leave its place. Take the .pub file beside it."
        )
    try:
        key = serialization.load_pem_public_key(content)
    except Exception as error:
        return _no_key(path, "a public key in PEM", error)
    return _other_curve(path, key)


def _content(path: pathlib.Path) -> bytes | str:
    try:
        return path.read_bytes()
    except OSError as error:
        return (
            f"--key: expected a file with a key. Received: {path} ({error.strerror})."
        )


def _no_key(path: pathlib.Path, wanted: str, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    reason = reason.partition(". ")[0]
    return (
        f"--key: expected {wanted}. Received: {path}, which is none ({reason:.120}). "
        f"{_MAKE}."
    )


def _other_curve(path: pathlib.Path, key: Any) -> str | None:
    curve = getattr(getattr(key, "curve", None), "name", type(key).__name__)
    if curve in _CURVES:
        return None
    return (
        f"--key: expected a key of one of the curves {', '.join(_CURVES)}. Received: "
        f"{path}, with {curve}. {_MAKE}."
    )
