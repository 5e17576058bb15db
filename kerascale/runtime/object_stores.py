"""Objects at `s3://` and `gs://` addresses: what there is, and their bytes.

Arrow's own clients, which come with pyarrow. Credentials are looked for where AWS' and
Google's tools look for them; `s3://anonymous@bucket/...` asks without any.
"""

import contextlib
import dataclasses
import datetime
import fnmatch
import glob
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterator, Sequence

import pyarrow.fs

from kerascale.errors import RefusedError
from kerascale.runtime.console import say

_ADDRESS = re.compile(r"(s3|s3a|gs|gcs)://(anonymous@)?([^/@]+)/?(.*)", re.DOTALL)
_PIECE = 8 * 2**20
_TRIES = 3
# A client of Google's asks for a quarter of an hour where it is not told.
_PATIENCE = datetime.timedelta(seconds=60)
_WAIT_SECONDS = 2.0
_WAY_OUT = (
    "Check the address and the credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE, "
    "AWS_REGION, AWS_ENDPOINT_URL; GOOGLE_APPLICATION_CREDENTIALS); a public bucket is "
    "asked without any by {scheme}://anonymous@{bucket}/..."
)


@dataclasses.dataclass(frozen=True)
class Object:
    """An object, as its store lists it.

    Args:
        path: Of the store: bucket and key.
        name: Relative to what was asked for; its last part for an object alone.
        size: In bytes.
        changed: When it was written, in nanoseconds since 1970.
    """

    path: str
    name: str
    size: int
    changed: int


class Store:
    """A bucket, or a part of it.

    Args:
        address: `s3://BUCKET/KEY` or `gs://BUCKET/KEY`: of an object, of all objects
            below a name, or a pattern such as `parts/*.csv`.

    Raises:
        RefusedError: If it is no such address, or the store does not answer.
    """

    def __init__(self, address: str) -> None:
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise RefusedError(
                "Expected an address such as s3://BUCKET/KEY or gs://BUCKET/KEY. "
                f"Received: {address!r}."
            )
        self.address = address
        scheme, anonymous, self._bucket, key = found.groups()
        self._scheme = "s3" if scheme.startswith("s3") else "gs"
        self._key = key.strip("/")
        with self._answering():
            connect = _s3 if self._scheme == "s3" else _gs
            self.files = connect(self._bucket, anonymous is not None)
        # As `files` names it.
        self.path = f"{self._bucket}/{self._key}".rstrip("/")

    def objects(self, *, nested: bool) -> list[Object]:
        """What is at the address, sorted by name.

        Args:
            nested: Whether objects count whose names have more parts; a pattern says
                itself what counts.

        Raises:
            RefusedError: If there is nothing, or an object cannot be a file.
        """
        with self._answering():
            if self._key:
                info = self.files.get_file_info(self.path)
                if info.type == pyarrow.fs.FileType.File:
                    return [_object(info, info.base_name)]
            folder, pattern = split_pattern(self._key)
            where = f"{self._bucket}/{folder}".rstrip("/")
            nested = nested if pattern is None else len(pattern) > 1
            selector = pyarrow.fs.FileSelector(
                where, recursive=nested, allow_not_found=bool(folder)
            )
            infos = self.files.get_file_info(selector)
        found = [
            _object(info, info.path.removeprefix(f"{where}/"))
            for info in infos
            if info.type == pyarrow.fs.FileType.File
        ]
        if pattern is not None:
            found = [o for o in found if _matches(o.name.split("/"), pattern)]
        if not found:
            raise RefusedError(
                "Expected an object, or several. Received: "
                f"{self.address}, where there is none. "
                + _WAY_OUT.format(scheme=self._scheme, bucket=self._bucket)
            )
        for one in found:
            if {"", ".", ".."} & set(one.name.split("/")):
                raise RefusedError(
                    f"Expected objects whose names can be those of files. Received: "
                    f"{one.path!r}. Give it another name."
                )
        return sorted(found, key=lambda one: one.name)

    def fetch(
        self, one: Object, path: pathlib.Path, seen: Callable[[int], None]
    ) -> None:
        """Writes an object to a file, which appears when it is whole.

        A store that does not answer is asked again, three times in all.

        Args:
            one: What `objects` gave.
            path: The file, with the object's time of change.
            seen: Called with the bytes of each piece; negative where it begins again.

        Raises:
            RefusedError: If the object is not as it was listed any more.
            ConnectionError: If the store does not answer.
            OSError: If the file cannot be written.
        """
        for attempt in range(_TRIES):
            came = [0]

            def count(size: int, came: list[int] = came) -> None:
                came[0] += size
                seen(size)

            try:
                self._fetch(one, path, count)
                return
            except _StoreError as error:
                seen(-came[0])
                if attempt == _TRIES - 1:
                    raise ConnectionError(
                        f"{one.path} could not be read from its store: "
                        f"{error.__cause__}"
                    ) from error
                say(f"data: {one.path}: {error.__cause__}: it is asked for again")
                time.sleep(_WAIT_SECONDS * 2**attempt)

    def _fetch(
        self, one: Object, path: pathlib.Path, seen: Callable[[int], None]
    ) -> None:
        temporary = path.with_name(f"{path.name}.coming")
        size = 0
        with open(temporary, "wb") as file, contextlib.ExitStack() as stack:
            with _store_errors():
                source = stack.enter_context(self.files.open_input_stream(one.path))
            while True:
                with _store_errors():
                    piece = source.read(_PIECE)
                if not piece:
                    break
                file.write(piece)
                size += len(piece)
                seen(len(piece))
            with _store_errors():
                read = _entity(source)
        with _store_errors():
            info = self.files.get_file_info(one.path)
            is_same = info.size == one.size == size and info.mtime_ns == one.changed
            if is_same:
                # It asks for what is known of an object alone.
                with self.files.open_input_file(one.path) as source:
                    is_same = _entity(source) == read
        if not is_same:
            temporary.unlink()
            raise RefusedError(
                f"data: expected an object that stays as it is. Received: {one.path}, "
                "which was written while it was read. Type the command again when it "
                "is not written any more."
            )
        os.utime(temporary, ns=(one.changed, one.changed))
        temporary.replace(path)

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, ImportError) as error:
            raise RefusedError(
                f"Expected a store that answers. Received: {self.address}: {error}. "
                + _WAY_OUT.format(scheme=self._scheme, bucket=self._bucket)
            ) from error


def is_address(address: str) -> bool:
    """Whether it is an address of a store that is read here."""
    return _ADDRESS.fullmatch(address) is not None


def local_part(address: str, objects: Sequence[Object]) -> str:
    """What stands for an address in a folder of copies of its objects.

    A name, a pattern, or nothing: the folder itself.
    """
    key = _ADDRESS.fullmatch(address)[4].strip("/")
    if len(objects) == 1 and objects[0].path.endswith(f"/{key}"):
        return objects[0].name
    _, pattern = split_pattern(key)
    return "/".join(pattern or ())


def split_pattern(key: str) -> tuple[str, list[str] | None]:
    """A folder, and the parts of the pattern behind it; None: there is none."""
    words = key.split("/")
    marked = [i for i, word in enumerate(words) if glob.has_magic(word)]
    if not marked:
        return key, None
    return "/".join(words[: marked[0]]), words[marked[0] :]


class _StoreError(Exception):
    """Of the store, not of the disk. Its cause is the reason."""


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _StoreError from error


def _s3(bucket: str, anonymous: bool) -> pyarrow.fs.S3FileSystem:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get(
        "AWS_ENDPOINT_URL"
    )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not (endpoint or region):
        region = pyarrow.fs.resolve_s3_region(bucket)
    return pyarrow.fs.S3FileSystem(
        endpoint_override=endpoint, region=region or "us-east-1", anonymous=anonymous
    )


def _gs(bucket: str, anonymous: bool) -> pyarrow.fs.GcsFileSystem:
    del bucket
    # Of Google's own clients.
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator:
        scheme, _, host = emulator.rpartition("://")
        return pyarrow.fs.GcsFileSystem(
            endpoint_override=host, scheme=scheme or "http", anonymous=True
        )
    return pyarrow.fs.GcsFileSystem(anonymous=anonymous, retry_time_limit=_PATIENCE)


def _object(info: pyarrow.fs.FileInfo, name: str) -> Object:
    return Object(info.path, name, info.size, info.mtime_ns)


def _entity(source: pyarrow.NativeFile) -> bytes | None:
    """The ETag of what was read."""
    found = {key.lower(): value for key, value in (source.metadata() or {}).items()}
    return found.get("etag")


def _matches(words: list[str], pattern: list[str]) -> bool:
    """Whether the parts of a name are those of a pattern, as in `glob`."""
    if not pattern:
        return not words
    if pattern[0] == "**":
        rests = [words[i:] for i in range(len(words) + 1)]
        return any(_matches(rest, pattern[1:]) for rest in rests)
    return (
        bool(words)
        and fnmatch.fnmatchcase(words[0], pattern[0])
        and _matches(words[1:], pattern[1:])
    )
