"""What a training costs in energy, by the library `codecarbon`, without a network.

One tracker measures a whole run, by a clock of its own: what the library calls a task
inside of a tracker loses the energy since its last sample.
"""

import contextlib
import datetime
import glob
import json
import logging
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from kerascale.errors import RefusedError
from kerascale.reporting import output_paths
from kerascale.runs import layout
from kerascale.runtime import extras

# Seconds between two samples of power.
_EVERY = 5.0
_COUNTERS = "/sys/class/powercap/intel-rapl*/energy_uj"
UNKNOWN = "unknown"


def refuse_unknown(country: str) -> None:
    """Refuses a country whose grid is not known, before anything is trained.

    Args:
        country: Three letters, such as DEU; or `unknown`.

    Raises:
        RefusedError: If there is no such country, or the library is not installed.
    """
    extras.refuse_without("--energy", "card", ["codecarbon"])
    if country != UNKNOWN and country not in _countries():
        raise RefusedError(
            "--energy: expected the three letters of a country whose grid is known, "
            f"such as DEU, or {UNKNOWN}. Received: {country!r}."
        )


def _countries() -> set[str]:
    import codecarbon

    folder = pathlib.Path(codecarbon.__file__).parent / "data"
    files = folder.rglob("global_energy_mix.json")
    return {name for file in files for name in json.loads(file.read_text("utf-8"))}


@contextlib.contextmanager
def measured(
    country: str, find_folder: Callable[[], str | os.PathLike | None]
) -> Iterator[None]:
    """Measures what happens inside, and adds it to `energy.json` of a run.

    A run that goes on has several sessions. A process that is killed adds nothing.

    Args:
        country: Whose grid the CO2 is computed with: three letters, such as DEU;
            `unknown`: none is computed.
        find_folder: Says at the end where the run is; None: nothing is kept.

    Raises:
        RefusedError: See `refuse_unknown`.
    """
    refuse_unknown(country)
    tracker = _tracker(country)
    began = time.monotonic()
    tracker.start()
    is_refused = False
    try:
        yield
    except RefusedError:
        is_refused = True  # The folder may be another run's.
        raise
    finally:
        tracker.stop()
        seconds = time.monotonic() - began
        folder = None if is_refused else find_folder()
        data = getattr(tracker, "final_emissions_data", None)
        if folder is not None and data is not None:
            _add(pathlib.Path(folder), _session(data, country, seconds))


def _tracker(country: str) -> Any:
    # Before it is made: it logs what it does in its constructor.
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    from codecarbon import OfflineEmissionsTracker

    return OfflineEmissionsTracker(
        # It takes no other word for "not known"; its CO2 is left out then.
        country_iso_code="USA" if country == UNKNOWN else country,
        measure_power_secs=_EVERY,
        save_to_file=False,
        log_level="critical",
        allow_multiple_runs=True,
        tracking_mode="machine",
    )


def _session(data: Any, country: str, seconds: float) -> dict[str, Any]:
    return {
        "ended": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "kwh": float(data.energy_consumed),
        "cpu_kwh": float(data.cpu_energy),
        "gpu_kwh": float(data.gpu_energy),
        "memory_kwh": float(data.ram_energy),
        "kg_co2": None if country == UNKNOWN else float(data.emissions),
        "country": country,
        "processor": str(data.cpu_model),
        "counters": any(os.access(file, os.R_OK) for file in glob.glob(_COUNTERS)),
    }


def _add(folder: pathlib.Path, session: dict[str, Any]) -> None:
    if not folder.is_dir():
        return
    path = folder / layout.ENERGY
    sessions = []
    if path.is_file():
        with contextlib.suppress(ValueError, KeyError):
            sessions = json.loads(path.read_text(encoding="utf-8"))["sessions"]
    content = summary([*sessions, session])
    output_paths.write_json(path, content)


def summary(sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """All sessions of a run together, with what is not known of them."""
    counted = all(session["counters"] for session in sessions)
    co2 = [session["kg_co2"] for session in sessions]
    not_known = [
        "what the cooling and the power supply of the place took",
        "what making the hardware took",
        "what sessions took that were killed, and other hosts of the same run",
        "how much of it other processes on this machine took: it is the machine's",
    ]
    if not counted:
        not_known.insert(
            0,
            "the true power of the processor: its counters cannot be read here, and it "
            "is estimated from its nominal power and its load",
        )
    return {
        "kwh": sum(session["kwh"] for session in sessions),
        "seconds": sum(session["seconds"] for session in sessions),
        "kg_co2": None if None in co2 else sum(co2),
        "country": ", ".join(sorted({session["country"] for session in sessions})),
        "how": "by the processor's counters" if counted else "estimated, not measured",
        "not_known": not_known,
        "sessions": sessions,
    }
