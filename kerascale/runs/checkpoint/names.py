"""The names in a folder of checkpoints: which are visible, and which are leftovers.

000000000040/                    the checkpoint of step 40
.writing-000000000060-PID-ID/    is being written
.replaced-000000000040/          the one of step 40, while another takes its name
.removing-000000000020-PID-ID/   is being removed
"""

import contextlib
import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Callable

from kerascale.errors import RefusedError
from kerascale.runtime.durable_files import sync_folder

_DIGITS = 12
_VISIBLE = re.compile(r"[0-9]{12}")
_REPLACED = re.compile(r"\.replaced-([0-9]{12})")
_LEFTOVER = re.compile(r"\.(writing|removing)-[0-9]{12}-[0-9]+-[0-9a-f]{8}")


class Names:
    """Gives and takes the names of checkpoints, each in one step of the disk's.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder

    @staticmethod
    def check_step(step: int) -> None:
        """Refuses a step that has no name."""
        if type(step) is not int or not 0 <= step < 10**_DIGITS:
            raise RefusedError(
                f"step: expected an integer from 0 to {10**_DIGITS - 1}. Received: "
                f"{step!r:.80}. Convert it by int."
            )

    def steps(self) -> list[int]:
        """The steps that have a folder, oldest first."""
        found = set()
        for name in self._listed():
            if _VISIBLE.fullmatch(name):
                found.add(int(name))
            elif match := _REPLACED.fullmatch(name):
                found.add(int(match[1]))
        return sorted(found)

    def path(self, step: int) -> pathlib.Path:
        """The folder of a step.

        It is the hidden one for as long as a process that replaces it has taken its
        name away, or was killed in that moment.
        """
        visible = self._folder / _name(step)
        replaced = self._replaced(step)
        if not os.path.lexists(visible) and os.path.lexists(replaced):
            return replaced
        return visible

    def make_folder(self) -> None:
        """Makes the folder, and brings its own name onto the disk."""
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self._folder.parent)

    def new_temporary(self, step: int) -> pathlib.Path:
        """A hidden name that no other has."""
        return self._hidden("writing", step)

    def recover(self) -> None:
        """Gives back the names that a killed process took, and removes its leftovers.

        Only what has a name of ours is touched.
        """
        for name in self._listed():
            if match := _REPLACED.fullmatch(name):
                visible = self._folder / match[1]
                if os.path.lexists(visible):
                    self.discard(self._folder / name)
                else:
                    os.rename(self._folder / name, visible)
            elif _LEFTOVER.fullmatch(name):
                self.discard(self._folder / name)

    def publish(
        self, temporary: pathlib.Path, step: int, between: Callable[[], None]
    ) -> None:
        """Gives a finished folder its visible name.

        Args:
            temporary: The folder.
            step: Its step. One of that step is moved away; `path` finds it until the
                new one is there.
            between: Called when it was moved.
        """
        visible, replaced = self._folder / _name(step), self._replaced(step)
        if not os.path.lexists(visible):
            os.rename(temporary, visible)
            return
        os.rename(visible, replaced)
        try:
            between()
            os.rename(temporary, visible)
        except BaseException:
            os.rename(replaced, visible)
            raise

    def forget_replaced(self, step: int) -> None:
        """Removes what `publish` has moved away."""
        self.discard(self._replaced(step))

    def remove(self, step: int, hidden: Callable[[], None] = lambda: None) -> None:
        """Removes a checkpoint: hidden first, so that it is never seen in part.

        Args:
            step: Its step.
            hidden: Called when it has no visible name any more.

        Raises:
            OSError: If it cannot be hidden.
        """
        removing = self._hidden("removing", step)
        os.rename(self._folder / _name(step), removing)
        sync_folder(self._folder)
        hidden()
        self.discard(removing)

    @staticmethod
    def discard(path: pathlib.Path) -> None:
        """Removes a hidden folder, or file, as far as it can be removed."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()

    def _listed(self) -> list[str]:
        try:
            return sorted(os.listdir(self._folder))
        except FileNotFoundError:
            return []

    def _replaced(self, step: int) -> pathlib.Path:
        return self._folder / f".replaced-{_name(step)}"

    def _hidden(self, what: str, step: int) -> pathlib.Path:
        identity = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        return self._folder / f".{what}-{_name(step)}-{identity}"


def _name(step: int) -> str:
    return f"{step:0{_DIGITS}d}"
