"""The models of a folder: one, or one in each of its folders."""

import functools
import pathlib
from collections.abc import Callable

from kerascale.errors import RefusedError
from kerascale.serving.server.loading import Servable
from kerascale.serving.server.model import Model
from kerascale.serving.server.policy import configured_names, read_policy
from kerascale.serving.server.status import StatusError
from kerascale.serving.server.watching import Watcher, version_folders

# Refuses a version's folder with a RuntimeError that says why.
Check = Callable[[pathlib.Path], None]


def find_models(
    base: pathlib.Path, name: str | None, check: Check | None = None
) -> list[Watcher]:
    """The models that are served from a folder.

    Args:
        base: A model's folder, with a folder for each version; or a folder of such.
        name: The model's name; None: its folder's.
        check: What a version must pass before anything of it is loaded, and after, so
            that what was loaded is what was checked; None: nothing.

    Raises:
        RefusedError: If there is none, or its `models.config` cannot be read.
    """
    base = pathlib.Path(base).absolute()
    try:
        if version_folders(base):
            return [_watcher(base, name or _name_of(base), [base], check)]
        children = [path for path in sorted(base.iterdir()) if path.is_dir()]
        folders = [path for path in children if version_folders(path)]
    except OSError as error:
        raise RefusedError(
            f"DEST: expected a folder that can be read. Received: {error.filename} "
            f"({error.strerror})."
        ) from error
    if not folders:
        raise RefusedError(
            "DEST: expected a folder with versions, such as DEST/1/saved_model.pb, or "
            f"a folder of such. Received: {base}, which has none. Write one with "
            "kerascale export RUN DEST."
        )
    if name is not None:
        raise RefusedError(
            f"--model-name: expected one model in {base}. Received: {len(folders)} "
            f"({', '.join(path.name for path in folders)}). Give the folder of one."
        )
    return [_watcher(path, path.name, [path, base], check) for path in folders]


def load_and_try(
    folder: pathlib.Path, check: Check | None = None
) -> tuple[Servable, list[str]]:
    """A loaded version that has answered, and what there is to say of it.

    Raises:
        StatusError: If it is refused, cannot be loaded, or does not answer.
    """
    _pass(folder, check)
    servable = Servable(folder)
    _pass(folder, check)
    return servable, servable.warm_up()


def _pass(folder: pathlib.Path, check: Check | None) -> None:
    if check is None:
        return
    try:
        check(folder)
    except (RuntimeError, RefusedError) as error:
        raise StatusError("FAILED_PRECONDITION", str(error)) from error


def _watcher(
    base: pathlib.Path, name: str, configs: list[pathlib.Path], check: Check | None
) -> Watcher:
    read_policy(configs, name)  # What is wrong with it is said before the start.
    load = functools.partial(load_and_try, check=check)
    return Watcher(Model(name), base, configs, load)


def _name_of(base: pathlib.Path) -> str:
    """The name under which TF Serving has it, if the folder says so."""
    names = configured_names(base)
    return names[0] if len(names) == 1 else base.name
