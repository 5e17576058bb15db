"""The models of a folder: one, or one in each of its folders."""

import pathlib

from kerascale.errors import RefusedError
from kerascale.serving.server.loading import Servable
from kerascale.serving.server.model import Model
from kerascale.serving.server.policy import configured_names, read_policy
from kerascale.serving.server.watching import Watcher, version_folders


def find_models(base: pathlib.Path, name: str | None) -> list[Watcher]:
    """The models that are served from a folder.

    Args:
        base: A model's folder, with a folder for each version; or a folder of such.
        name: The model's name; None: its folder's.

    Raises:
        RefusedError: If there is none, or its `models.config` cannot be read.
    """
    base = pathlib.Path(base).absolute()
    try:
        if version_folders(base):
            return [_watcher(base, name or _name_of(base), [base])]
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
    return [_watcher(path, path.name, [path, base]) for path in folders]


def load_and_try(folder: pathlib.Path) -> tuple[Servable, list[str]]:
    """A loaded version that has answered, and what there is to say of it.

    Raises:
        StatusError: If it cannot be loaded, or does not answer.
    """
    servable = Servable(folder)
    return servable, servable.warm_up()


def _watcher(base: pathlib.Path, name: str, configs: list[pathlib.Path]) -> Watcher:
    read_policy(configs, name)  # What is wrong with it is said before the start.
    return Watcher(Model(name), base, configs, load_and_try)


def _name_of(base: pathlib.Path) -> str:
    """The name under which TF Serving has it, if the folder says so."""
    names = configured_names(base)
    return names[0] if len(names) == 1 else base.name
