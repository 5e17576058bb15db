"""XLA's compiled programs, kept in the user's cache folder for the next process.

TensorFlow can keep what `jit_compile=True` has compiled in a folder, on CPUs too
(`--tf_xla_persistent_cache_directory`), and finds it again by the program's text. It
does not look whether a file was compiled for another processor, and fails at a damaged
one. So each process has a folder of its own, into which what is kept is copied
after its checksum was compared, from a store for each machine type and version.

On a CPU each program that is found makes TensorFlow write an error to its log (`Error
parsing text-format`: it tries text first) though nothing is wrong. So programs are kept
where its log is silent, which it is in the command line: `TF_CPP_MIN_LOG_LEVEL=3`.
"""

import atexit
import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping, MutableMapping, Sequence

from kerascale.runtime import program_store

FLAGS = "TF_XLA_FLAGS"
_DIRECTORY = "--tf_xla_persistent_cache_directory="
_PREFIX = "kerascale-programs-"
# TensorFlow fails where it cannot write a program.
_LEAST_FREE_BYTES = 2**30

# A folder that is younger may be one whose process has not locked it yet.
_YOUNG_SECONDS = 60.0

# This process's own folder; None: there is none.
_own: pathlib.Path | None = None
_pid = 0
# When that folder had changed last when its programs were kept; None: never.
_kept_at: int | None = None


def announce(environ: MutableMapping[str, str]) -> None:
    """Tells TensorFlow, before it is imported, where programs are.

    Args:
        environ: Environment variables.
    """
    global _own, _pid
    flags = [
        flag
        for flag in environ.get(FLAGS, "").split()
        if not flag.startswith(_DIRECTORY) or _PREFIX not in flag  # Of a parent.
    ]
    is_own = _own is not None and _pid == os.getpid()
    has_folder = any(flag.startswith("--tf_xla_persistent_cache") for flag in flags)
    silent = environ.get("TF_CPP_MIN_LOG_LEVEL") == "3"
    folder = None
    if silent and not has_folder and _has_room(tempfile.gettempdir()):
        name = f"{_PREFIX}{secrets.token_hex(16)}"
        folder = _own if is_own else pathlib.Path(tempfile.gettempdir(), name)
        flags.append(f"{_DIRECTORY}{folder}")
    if flags:
        environ[FLAGS] = " ".join(flags)
    else:
        environ.pop(FLAGS, None)
    if folder is not None and not is_own:
        atexit.register(_remove, folder, os.getpid())
    _own, _pid = folder, os.getpid()


def is_announced(environ: Mapping[str, str]) -> bool:
    """Whether TensorFlow keeps programs, by our means or as a user has told it."""
    return _DIRECTORY in environ.get(FLAGS, "")


def fetch(facts: Sequence[object]) -> None:
    """Makes what was kept known to TensorFlow, before it compiles.

    Args:
        facts: What programs depend on beside the machine: TensorFlow's version.
    """
    if not _is_on() or _own.is_dir():
        return
    with contextlib.suppress(OSError):
        # It holds what is executed: for nobody else to write.
        _own.mkdir(mode=0o700)
        _lock(os.open(_own, os.O_RDONLY))  # Open as long as this process lives.
        _sweep(_own.parent)
        for path in sorted(_store(facts).glob("*.pb")):
            name, _, rest = path.name.rpartition("-")
            data = program_store.read_own(path)
            if data is None:
                continue
            if rest != f"{hashlib.sha256(data).hexdigest()}.pb":
                path.unlink(missing_ok=True)
                continue
            (_own / name).write_bytes(data)
            os.utime(path)  # The ones that are not asked for go first.


def keep(facts: Sequence[object]) -> None:
    """Keeps what was compiled since `fetch`.

    Args:
        facts: As of `fetch`.
    """
    global _kept_at
    if not _is_on() or not _own.is_dir():
        return
    store = _store(facts)
    with contextlib.suppress(OSError):
        changed = _own.stat().st_mtime_ns
        if changed == _kept_at:  # Nothing came since: each `fit` asks.
            return
        store.mkdir(parents=True, exist_ok=True)
        there = {path.name.rpartition("-")[0] for path in store.glob("*.pb")}
        for path in sorted(_own.glob("*.pb")):
            if path.name in there:
                continue
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            # In one move: another process may read it.
            partial = store / f"{path.name}.{os.getpid()}.partial"
            partial.write_bytes(data)
            partial.chmod(0o600)  # See `program_store.read_own`.
            partial.replace(store / f"{path.name}-{digest}.pb")
        program_store.shorten(store.parent)
        _kept_at = changed


def _sweep(parent: pathlib.Path) -> None:
    """Removes the folders of processes that were killed before they could."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            stat = folder.stat()
            age = time.time() - stat.st_mtime
            if stat.st_uid != os.getuid() or age < _YOUNG_SECONDS:
                continue
            file = os.open(folder, os.O_RDONLY)
            if _lock(file):  # Who lives holds the lock.
                shutil.rmtree(folder, ignore_errors=True)
            os.close(file)


def _lock(file: int) -> bool:
    """Locks an open folder; False: another has, or this file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _store(facts: Sequence[object]) -> pathlib.Path:
    """The folder for this machine type, these versions and settings."""
    other = re.sub(rf"\S*{_PREFIX}\S*", "", os.environ.get(FLAGS, "")).split()
    variables = ("XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS")
    key = [*map(str, facts), [os.environ.get(name) for name in variables], other]
    return program_store.folder_of("programs", key)


def _has_room(folder: str) -> bool:
    try:
        return (
            os.access(folder, os.W_OK | os.X_OK)
            and shutil.disk_usage(folder).free > _LEAST_FREE_BYTES
        )
    except OSError:
        return False


def _is_on() -> bool:
    return _own is not None and _pid == os.getpid()


def _remove(folder: pathlib.Path, pid: int) -> None:
    if os.getpid() == pid:  # Not in a fork.
        shutil.rmtree(folder, ignore_errors=True)
