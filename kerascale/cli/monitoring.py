"""`kerascale monitoring --write DIR`: what Prometheus and Grafana watch a run with."""

import dataclasses
import json
import pathlib
import shlex
from collections.abc import Sequence

from kerascale.cli import parsing
from kerascale.cli.results import finish
from kerascale.runtime.prometheus import shipped_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Write alert rules, a configuration for Prometheus and a dashboard for Grafana.

    They watch what kerascale train RECIPE --metrics-port PORT exports."""

    write: str
    """The folder to write them into."""
    target: str = "127.0.0.1:9464"
    """The host:port at which a run is read."""
    force: bool = False
    """Write over files of these names that say something else."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    options = parsing.parse(Options, arguments, program="kerascale monitoring")
    names = shipped_files.write(options.write, options.target, force=options.force)
    folder = pathlib.Path(options.write)
    port = options.target.rpartition(":")[2]
    configuration = folder / shipped_files.CONFIGURATION
    text = f"""\
Written into {folder}: {", ".join(names)}

1. Train where Prometheus can read it:
     kerascale train RECIPE --metrics-port {port}
2. Let Prometheus read it, and check the rules:
     prometheus --config.file={shlex.quote(str(configuration))}
   or add to a configuration that you have:
{_indented(configuration)}
   Alerts reach people through Alertmanager: add alerting.alertmanagers to it.
3. In Grafana: Dashboards, New, Import, and upload {folder / shipped_files.DASHBOARD}"""
    finish(
        {"folder": str(folder), "files": names, "target": options.target},
        as_json=options.json,
        text=text,
    )


def _indented(path: pathlib.Path) -> str:
    text = path.read_text(encoding="utf-8")
    # Elsewhere a relative name would be of another folder.
    alerts = path.with_name(shipped_files.ALERTS).absolute()
    text = text.replace(f"- {shipped_files.ALERTS}", f"- {json.dumps(str(alerts))}")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return "\n".join(f"     {line}" for line in lines)
