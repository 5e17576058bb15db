"""A real Slurm on this machine: one controller, and daemons that stand for nodes."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

_CONFIG = """\
ClusterName=tests
SlurmctldHost=localhost
SlurmctldPort={controller}
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
KillWait=20
SlurmdTimeout=15
JobRequeue=1
{nodes}
PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES
"""
_HOSTS = pathlib.Path("/etc/hosts")


def missing():
    """Why there can be none here; None if there can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    programs = ("slurmctld", "slurmd", "sbatch", "munge")
    found = [p for p in programs if shutil.which(p) is None]
    return (
        f"there is no {', '.join(found)} (Debian: slurm-wlm, munge)" if found else None
    )


class Slurm:
    """A cluster of so many nodes, until `stop`.

    Args:
        folder: For its files.
        count: Of the nodes, `tn1` and so on, each an address of this machine.
    """

    def __init__(self, folder, count):
        self.folder = folder
        self.nodes = [f"tn{number}" for number in range(1, count + 1)]
        self.environ = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        (folder / "state").mkdir(parents=True)
        known = _HOSTS.read_text()
        with _HOSTS.open("a") as hosts:
            for number, name in enumerate(self.nodes, 1):
                if f" {name}\n" not in known:
                    hosts.write(f"127.0.0.{number} {name}\n")
        controller, *ports = _free_ports(count + 1)
        lines = "\n".join(
            f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} "
            "CPUs=2 RealMemory=4000 State=UNKNOWN"
            for name, port in zip(self.nodes, ports, strict=True)
        )
        config = _CONFIG.format(
            folder=folder,
            controller=controller,
            nodes=lines,
            names=",".join(self.nodes),
        )
        (folder / "slurm.conf").write_text(config)
        if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode:
            _start_munge()
        self("slurmctld")
        time.sleep(1)
        for name in self.nodes:
            self("slurmd", "-N", name)
        self.until(lambda: self("sinfo", "-h", "-t", "idle", "-o", "%D") == f"{count}")

    def __call__(self, *command):
        """Standard output of one of Slurm's commands."""
        return subprocess.run(
            command, env=self.environ, capture_output=True, text=True, check=True
        ).stdout.strip()

    def until(self, condition, seconds=120):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self("squeue")
            time.sleep(0.2)

    def kill_node(self, name):
        """As if the power failed: its daemon and all of its tasks are gone."""
        pid = int((self.folder / f"slurmd-{name}.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                variables = path.read_bytes().split(b"\0")
            except OSError:
                continue
            own = {f"SLURMD_NODENAME={name}", f"SLURM_CONF={self.folder}/slurm.conf"}
            if {variable.encode() for variable in own} <= set(variables):
                os.kill(int(path.parent.name), signal.SIGKILL)
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            if path.read_bytes().startswith(b"slurmstepd:"):
                parent = int(path.parent.name)
                if pid == _parent(parent):
                    os.kill(parent, signal.SIGKILL)

    def start_node(self, name):
        self("slurmd", "-N", name)

    def stop(self):
        for path in [*self.folder.glob("slurmd-*.pid"), self.folder / "slurmctld.pid"]:
            try:
                os.kill(int(path.read_text()), signal.SIGTERM)
            except (OSError, ValueError):
                continue


def _parent(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def _free_ports(count):
    servers = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports


def _start_munge():
    key = pathlib.Path("/etc/munge/munge.key")
    if not key.exists():
        key.write_bytes(os.urandom(1024))
    pathlib.Path("/run/munge").mkdir(exist_ok=True)
    for path in (key, pathlib.Path("/run/munge")):
        shutil.chown(path, "munge")
    key.chmod(0o400)
    subprocess.run(["su", "-s", "/bin/sh", "munge", "-c", "munged"], check=True)
