"""What a person reads while kerascale works.

Everything goes to standard error, so that standard output holds results alone
(`--json`).
"""

import sys


def say(text: str) -> None:
    """Prints one message for the person who watches the run."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is not None:  # There may be a bar, which must not be written over.
        tqdm.tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()
    else:
        print(text, file=sys.stderr, flush=True)


def is_terminal() -> bool:
    """Whether a person watches: a progress bar may redraw its line."""
    return sys.stderr.isatty()


def duration(seconds: float) -> str:
    """A duration as people write it: `42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
