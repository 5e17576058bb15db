"""Where kerascale keeps what it prepares once and reads often."""

import os
import pathlib

import platformdirs

VARIABLE = "KERASCALE_CACHE_DIR"


def cache_dir() -> pathlib.Path:
    """The folder for what kerascale prepares once and reads often.

    `KERASCALE_CACHE_DIR` if it is set, else the user's cache folder. Everything in
    it can be deleted at any time: it is prepared again.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return pathlib.Path(chosen).expanduser().absolute()
    return pathlib.Path(platformdirs.user_cache_dir("kerascale"))
