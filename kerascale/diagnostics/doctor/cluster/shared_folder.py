"""Whether all hosts see one run folder, and what is renamed in it at once."""

import contextlib
import os
import pathlib
import time

_LOOK_SECONDS = 0.05
_NAME = ".kerascale-doctor-{token}-{rank}"
# In a folder that was not there before.
_MADE = ".kerascale-doctor-made"


def write(folder: pathlib.Path, token: str, rank: int) -> str:
    """Writes a file as checkpoints are: beside its place, then renamed over another.

    Returns:
        Why it could not be; empty if it was.
    """
    path = folder / _NAME.format(token=token, rank=rank)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            (folder / _MADE).touch()
        for content in ("before", token):
            temporary = path.with_name(f"{path.name}.tmp")
            with temporary.open("w") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except OSError as error:
        return f"{error.strerror or error}"
    return ""


def look(
    folder: pathlib.Path, token: str, ranks: list[int], seconds: float
) -> dict[int, float | None]:
    """Rank -> after how many seconds its file is there, whole; None: it is not."""
    began = time.monotonic()
    found: dict[int, float | None] = dict.fromkeys(ranks)
    while None in found.values() and time.monotonic() - began < seconds:
        for rank in [r for r, at in found.items() if at is None]:
            with contextlib.suppress(OSError):
                # A new listing, so that no cache of names answers.
                names = os.listdir(folder)
                name = _NAME.format(token=token, rank=rank)
                if name in names and (folder / name).read_text() == token:
                    found[rank] = time.monotonic() - began
        time.sleep(_LOOK_SECONDS)
    return found


def remove(folder: pathlib.Path, token: str, rank: int) -> None:
    """Removes the own file; the last one removes a folder that was made for them."""
    with contextlib.suppress(OSError):
        (folder / _NAME.format(token=token, rank=rank)).unlink()
        if os.listdir(folder) == [_MADE]:
            (folder / _MADE).unlink()
            folder.rmdir()
