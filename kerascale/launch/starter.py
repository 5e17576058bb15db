"""What runs first in the process of a worker: it posts a guard, then it becomes the
command.

The launcher may be killed in a way that it cannot see (SIGKILL, out of memory). Its
end of a pipe, the lifeline, closes with it; the guard waits for that and kills the
worker's process group, to which it belongs itself. `PR_SET_PDEATHSIG` would kill
the worker alone and leave what the worker has started; set in `preexec_fn` it is
unsafe in a launcher with threads, and set here it comes too late if the launcher is
gone already. A guard inside the group needs no process id, which could by then
belong to somebody else.

This file is run by its path, with the standard library alone (`python -I -S`).
"""

import os
import signal
import sys


def main() -> None:
    if len(sys.argv) == 1:
        _guard()
    lifeline, command = int(sys.argv[1]), sys.argv[2:]
    _post_guard(lifeline)
    os.close(lifeline)
    # Python ignores these two, and what it becomes would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


def _post_guard(lifeline: int) -> None:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    # What stops the worker in an orderly way must not end its guard.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # The second fork makes the guard no child of the worker, which may wait for all
    # the children that it has.
    if os.fork():
        os._exit(0)
    # The worker's output ends with the worker, not with its guard.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(lifeline, 0)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.close(lifeline)
    os.close(nothing)
    # A program of its own, so that it does not go by the name of the command.
    os.execv(sys.executable, [sys.executable, "-I", "-S", __file__])


def _guard() -> None:
    # Nothing is ever written; this returns when the launcher is gone.
    os.read(0, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
