"""Who holds a lock."""

import contextlib
import pathlib


def holder(lock: pathlib.Path) -> str:
    """Which process of this host has locked a file, as Linux tells it.

    Returns:
        `, process PID (COMMAND)`; empty where that is not known.
    """
    with contextlib.suppress(OSError):
        inode = f":{lock.stat().st_ino} "
        for line in pathlib.Path("/proc/locks").read_text().splitlines():
            if inode in f"{line} ":
                pid = line.split()[4]
                command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                words = command.decode(errors="replace").replace("\0", " ").strip()
                return f", process {pid} ({words:.200})"
    return ""
