"""`npz:PATH`: the arrays of an `.npz` file, compressed or not, some rows at a time."""

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascale.datasets.packed.rows import Facts, Rows, RowSource
from kerascale.datasets.packed.sources.in_memory import InMemory, facts_of
from kerascale.datasets.packed.sources.stamps import identity_of
from kerascale.datasets.raw import RawData
from kerascale.datasets.sources.arrays import Part, assemble
from kerascale.datasets.sources.checks import Problems, check_features
from kerascale.datasets.sources.npz_members import Member
from kerascale.datasets.sources.npz_source import (
    DAMAGED,
    choose_splits,
    keys_of_splits,
    load_npz,
    open_archive,
    read_array,
)

if TYPE_CHECKING:
    from kerascale.datasets.packed.sources import SourceOptions


def open_rows(rest: str, options: "SourceOptions") -> RowSource:
    """The arrays of a file; see `npz_source.load_npz`. Labels are read at once.

    Raises:
        RefusedError: With every bad key, shape and label.
    """
    with open_archive(rest) as archive:
        names = choose_splits(rest, list(archive.files))
        keys = keys_of_splits(names)
        problems = Problems(f"{rest} cannot be read")
        labels = {y: read_array(rest, archive, y, problems) for _, y in keys.values()}
        problems.raise_if_any()
    try:
        members = {x: Member(rest, x) for x, _ in keys.values()}
        is_streamed = all(member.is_streamed for member in members.values())
    except (KeyError, *DAMAGED):
        is_streamed = False
    if not is_streamed:
        # Columns before rows; or what is wrong with it is told there.
        size = options.image_size
        return InMemory(load_npz(rest, options.num_classes, size, task=options.task))
    raw = assemble(
        f"npz:{rest}",
        {split: Part(x, members[x], y, labels[y]) for split, (x, y) in keys.items()},
        num_classes=options.num_classes,
        look=lambda member, place, problems: member.look(problems),
        task=options.task,
    )
    return Npz(rest, raw, options)


class Npz:
    """The rows of the splits of an `.npz` file.

    Args:
        path: The file.
        raw: Whose features are `Member`s.
        options: Of which `image_size` counts.
    """

    def __init__(self, path: str, raw: RawData, options: "SourceOptions") -> None:
        self._path, self._raw, self._options = path, raw, options
        self.name, self.kind = raw.name, raw.kind
        self.encoding = "text" if raw.kind == "text" else None
        named = {k: getattr(raw, k) for k in ("train", "validation", "test")}
        self._splits = {k: split for k, split in named.items() if split is not None}
        self.given_splits = tuple(self._splits)
        members: list[Member] = [split.features for split in self._splits.values()]
        self.num_rows: int | None = sum(map(len, members))
        self.num_bytes: int | None = sum(member.num_bytes for member in members)

    def identity(self) -> dict[str, Any]:
        return identity_of([os.path.abspath(self._path)])

    def read(self, state: Mapping[str, Any]) -> Iterator[Rows]:
        names = list(self._splits)
        begin, first = state.get("split", names[0]), state.get("rows", 0)
        bytes_read = state.get("bytes", 0)
        for name in names[names.index(begin) :]:
            split = self._splits[name]
            member: Member = split.features
            for start, block in member.blocks(first if name == begin else 0):
                behind = start + len(block)
                bytes_read += block.nbytes
                yield Rows(
                    self._checked(member.name, block, start),
                    split.labels[start:behind],
                    name,
                    None,
                    {"split": name, "rows": behind, "bytes": bytes_read},
                    bytes_read,
                )

    def facts(self) -> Facts:
        return facts_of(self._raw)

    def _checked(self, name: str, block: np.ndarray, first: int) -> np.ndarray:
        problems = Problems(f"{self._path} cannot be used", subject=self._path)
        checked = check_features(block, name, problems, first=first)
        problems.raise_if_any()
        _, features = checked
        if self.kind != "image" or self._options.image_size is None:
            return features
        from kerascale.datasets import resizing

        return resizing.resized(features, self._options.image_size)
