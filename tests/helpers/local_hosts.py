"""Hosts on this machine: network namespaces that a bridge joins, with cables to cut."""

import os
import shutil
import subprocess


def missing():
    """Why there can be none here; None if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no ip (Debian: iproute2)"
    made = subprocess.run(["ip", "netns", "add", "kerascale-try"], check=False)
    if made.returncode:
        return "network namespaces cannot be made here"
    subprocess.run(["ip", "netns", "del", "kerascale-try"], check=True)
    return None


class Hosts:
    """So many hosts, until `stop`.

    Args:
        count: Of them, at most 8.
    """

    def __init__(self, count):
        self.names = [f"th{number}" for number in range(1, count + 1)]
        self._bridge = f"thnet{os.getpid()}"
        _ip("netns", "add", self._bridge)
        _ip("-n", self._bridge, "link", "add", "br0", "type", "bridge")
        _ip("-n", self._bridge, "link", "set", "br0", "up")
        for number, name in enumerate(self.names, 1):
            space = self._space(name)
            _ip("netns", "add", space)
            _ip("link", "add", f"v{name}", "type", "veth", "peer", "name", f"p{name}")
            _ip("link", "set", f"v{name}", "netns", space)
            _ip("link", "set", f"p{name}", "netns", self._bridge)
            _ip("-n", self._bridge, "link", "set", f"p{name}", "master", "br0", "up")
            _ip("-n", space, "link", "set", f"v{name}", "name", "eth0")
            _ip("-n", space, "addr", "add", f"10.78.0.{number}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            _ip("-n", space, "link", "set", "lo", "up")

    def address(self, name):
        return f"10.78.0.{self.names.index(name) + 1}"

    def command(self, name, command):
        """The same on a host."""
        return ["ip", "netns", "exec", self._space(name), *command]

    def cut(self, name):
        """Takes the cable of a host out."""
        _ip("-n", self._bridge, "link", "set", f"p{name}", "down")

    def mend(self, name):
        """Puts it back."""
        _ip("-n", self._bridge, "link", "set", f"p{name}", "up")

    def stop(self):
        for space in (*map(self._space, self.names), self._bridge):
            subprocess.run(["ip", "netns", "del", space], check=False)

    def _space(self, name):
        return f"{self._bridge}-{name}"


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)
