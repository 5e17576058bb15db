"""`images:FOLDER`: pictures as they are, or resized to one size."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerascale.datasets.packed import jpeg_coefficients
from kerascale.datasets.packed.jpeg_restarts import with_restart_markers
from kerascale.datasets.packed.rows import Facts, Rows, RowSource
from kerascale.datasets.packed.sources.ahead import in_order
from kerascale.datasets.packed.sources.damage import Damage
from kerascale.datasets.packed.sources.pictures import Pictures, kinds_of, read_file
from kerascale.datasets.packed.sources.stamps import Stamps, size_and_time
from kerascale.datasets.sources.checks import Problems
from kerascale.datasets.sources.image_files import Image, decode_bytes
from kerascale.datasets.sources.image_headers import look
from kerascale.datasets.sources.image_listing import (
    check_image_size,
    find_splits,
    labelled_files,
    say_ignored,
)
from kerascale.datasets.sources.label_checks import check_class_count
from kerascale.errors import first_line
from kerascale.runtime import allocator

if TYPE_CHECKING:
    from kerascale.datasets.packed.sources import SourceOptions

# Files that a thread reads at a time.
_FILES = 32
_CHUNK_BYTES = 4 * 2**20


class _Chunk(NamedTuple):
    """Some files of one class, and where they are in the order of all."""

    split: str
    label: int
    paths: list[str]
    folder: int
    behind: int


class _Picture(NamedTuple):
    """What is packed of a file, what was seen in it, and the bytes that were read."""

    content: bytes
    image: Image
    num_bytes: int


def open_rows(rest: str, options: "SourceOptions") -> RowSource:
    """The pictures of a folder; see `images_source.load_images`.

    Raises:
        RefusedError: With everything that is wrong with the folder.
    """
    return Images(rest, options)


class Images:
    """The pictures of a folder, class by class, sorted by path.

    Args:
        directory: The folder.
        options: `image_size`, `jpeg_restart_markers`, `skip_damaged_share` and `jobs`
            count.

    Raises:
        RefusedError: With everything that is wrong with the folder.
    """

    kind = "image"

    def __init__(self, directory: str, options: "SourceOptions") -> None:
        self.name = f"images:{directory}"
        self.encoding = "image" if options.image_size is None else None
        self._directory = directory
        self._prefix = os.path.join(directory, "")
        self._options = options
        check_image_size(options.image_size)
        if options.jpeg_restart_markers:
            jpeg_coefficients.refuse_without_library("jpeg_restart_markers")
        self._folders, self._class_names = find_splits(directory)
        self.given_splits = tuple(self._folders)
        self._found: Stamps | None = self._survey(is_first=True)
        self.num_rows: int | None = self._found.num_files
        self.num_bytes: int | None = self._found.num_bytes
        self._damage = Damage(self.name, options.skip_damaged_share)
        self._pictures = Pictures()

    def identity(self) -> dict[str, Any]:
        survey = self._found or self._survey()
        self._found = None  # Looked at anew the next time.
        return survey.to_json()

    def read(self, state: Mapping[str, Any]) -> Iterator[Rows]:
        self._damage = Damage(
            self.name, self._options.skip_damaged_share, state.get("damaged", ())
        )
        self._pictures = Pictures(state.get("pictures"))
        # Of the files; what is packed of one may have more or fewer.
        bytes_read = state.get("bytes", 0)
        place = (state.get("folder", 0), state.get("files", 0))
        channels = None
        if self.encoding is None:
            channels = state.get("channels") or self._common_channels()
        see = self._how_to_see(channels)
        change = None
        if self._options.jpeg_restart_markers:
            change = with_restart_markers
            allocator.keep_freed_arrays()

        def work(chunk: _Chunk) -> tuple[_Chunk, list[_Picture]]:
            return chunk, [_read(path, see, change) for path in chunk.paths]

        for chunk, found in in_order(work, self._chunks(place), self._options.jobs):
            files, rows = [], []
            for path, picture in zip(chunk.paths, found, strict=True):
                content, image, num_bytes = picture
                bytes_read += num_bytes
                if image.fault:
                    self._damage.add(image.fault)
                    continue
                self._pictures.add(image.shape)
                files.append(path.removeprefix(self._prefix))
                rows.append(content if self.encoding else image.pixels)
            self._damage.check(self.num_rows)
            after = {
                "folder": chunk.folder,
                "files": chunk.behind,
                "bytes": bytes_read,
                "damaged": self._damage.lines,
                "pictures": self._pictures.to_json(),
                "channels": channels,
            }
            labels = np.full(len(rows), chunk.label, np.int64)
            yield Rows(
                self._stacked(rows), labels, chunk.split, files, after, bytes_read
            )

    def facts(self) -> Facts:
        self._damage.settle(self.num_rows)
        if self.encoding is not None:
            self._pictures.say_converted(self._directory)
        return Facts(
            self._class_names,
            skipped=self._damage.lines,
            image_shape=self._pictures.shape() if self.encoding else None,
        )

    def _stacked(self, rows: list[Any]) -> np.ndarray:
        if self.encoding is None:
            size = self._options.image_size
            return np.stack(rows) if rows else np.empty((0, size, size, 0), np.uint8)
        features = np.empty(len(rows), object)
        features[:] = rows
        return features

    def _common_channels(self) -> int:
        """Those that all pictures are converted to; as in memory, by all of them."""
        files = (file for _, chunk in self._chunks((0, 0)) for file in chunk.paths)
        kinds = kinds_of(files, self._options.jobs)
        kinds.say_converted(self._directory)
        return kinds.common_channels()

    def _how_to_see(self, channels: int | None) -> Callable[[bytes, str], Image]:
        size = self._options.image_size
        if size is None:
            return look
        return lambda content, path: decode_bytes(content, path, (size, size), channels)

    def _chunks(self, place: tuple[int, int]) -> Iterator[tuple[int, _Chunk]]:
        """Files behind a place, a few at a time; and how large they are."""
        problems = Problems(f"{self._directory} cannot be used")
        folder = -1
        for split, path in self._folders.items():
            for label, files, _ in labelled_files(path, self._class_names, problems):
                folder += 1
                if folder < place[0]:
                    continue
                first = place[1] if folder == place[0] else 0
                sizes: list[int] = []
                for number in range(first, len(files)):
                    sizes.append(size_and_time(files[number])[0])
                    is_last = number + 1 == len(files)
                    if len(sizes) == _FILES or sum(sizes) > _CHUNK_BYTES or is_last:
                        begin = number + 1 - len(sizes)
                        paths = files[begin : number + 1]
                        chunk = _Chunk(split, label, paths, folder, number + 1)
                        yield self._bytes_of(sizes), chunk
                        sizes = []

    def _bytes_of(self, sizes: list[int]) -> int:
        size = self._options.image_size
        return sum(sizes) + (0 if size is None else 16 * len(sizes) * size**2)

    def _survey(self, is_first: bool = False) -> Stamps:
        problems = Problems(f"{self._directory} cannot be used")
        stamps = Stamps()
        ignored: list[str] = []
        for path in self._folders.values():
            for _, files, others in labelled_files(path, self._class_names, problems):
                ignored += others
                for file in files:
                    stamps.add(file, file.removeprefix(self._prefix))
        if is_first:
            problems.raise_if_any()
            check_class_count(self._folders["train"], len(self._class_names))
            say_ignored(self._directory, ignored)
        return stamps


def _read(
    path: str,
    see: Callable[[bytes, str], Image],
    change: Callable[[bytes], bytes] | None,
) -> _Picture:
    content, fault = read_file(path)
    num_bytes = len(content)
    image = Image(None, fault=fault) if fault else see(content, path)
    if change is not None and not image.fault:
        try:
            content = change(content)
        except (OSError, SyntaxError, ValueError) as error:  # Pillow's, of damage.
            fault = f"{path}: cannot be decoded ({first_line(error)})."
            image = Image(None, fault=fault)
    return _Picture(content, image, num_bytes)
