"""What of Ray's, VideoThinker's and Prometheus' processes listens here, and who can reach it."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import psutil

REMEDIES = {
    "Ray": "right for a cluster of several machines behind a firewall; for this machine alone:"
    " RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 ray start --head, with its token authentication left on",
    "VideoThinker": "its metrics: set cluster.metrics_host to 127.0.0.1 unless Prometheus runs on"
    " another machine; there let a firewall keep everybody else out, or cluster.metrics_tls",
    "Prometheus": "start it with --web.listen-address=127.0.0.1:9090, or put a firewall before it",
    "Grafana": "set http_addr = 127.0.0.1 in its [server] section, or put a firewall before it",
}
"""Who listens -> what to do where others can reach it."""
RAY_BINARIES = ("gcs_server", "raylet")


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """A port that a process has open."""

    owner: str
    """Key of REMEDIES."""
    process: str
    pid: int
    address: str
    port: int

    @property
    def reachable(self) -> bool:
        """From another machine, as far as its address says."""
        address = ipaddress.ip_address(self.address.partition("%")[0])
        return not (getattr(address, "ipv4_mapped", None) or address).is_loopback


def listeners() -> list[Listener]:
    """Every port of this user's processes that belong to a run, or look at one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.uids().real != os.getuid() or (who := owner(process.cmdline())) is None:
                continue
            found += list(_ports(*who, process.pid, process.net_connections("inet")))
        except psutil.Error:  # it ended while we looked
            continue
    return found


def owner(command: Sequence[str]) -> tuple[str, str] | None:
    """Whose a process is, and what it is called; None where it is none of ours."""
    words = [word for part in command for word in part.split()]  # Ray's workers have one long title
    if not words:
        return None
    program = PurePath(words[0]).name
    if words[0].startswith("ray::") or program in RAY_BINARIES:
        return "Ray", program
    if program in ("prometheus", "grafana", "grafana-server"):
        return program.partition("-")[0].capitalize(), program
    scripts = [PurePath(word) for word in words[1:] if not word.startswith("-")]
    if scripts and scripts[0].name == "videothinker":
        return "VideoThinker", " ".join(script.name for script in scripts[:2])
    for script in scripts:
        if script.suffix == ".py" and "ray" in script.parts:
            return "Ray", script.name
    return None


def _ports(owner: str, process: str, pid: int, connections: Iterable[Any]) -> Iterator[Listener]:
    for one in connections:
        waits = one.status == psutil.CONN_LISTEN or (
            one.type == socket.SOCK_DGRAM and not one.raddr and one.laddr
        )
        if waits:
            yield Listener(
                owner=owner, process=process, pid=pid, address=one.laddr.ip, port=one.laddr.port
            )


def said(found: Sequence[Listener]) -> Iterator[tuple[str, str]]:
    """(what was found, remedy) for each process that others can reach, and for the rest.

    The remedy is empty where all is well.
    """
    within = sum(not one.reachable for one in found)
    if within or not found:
        yield f"{within} ports, on the loopback alone" if within else "no port of a run's", ""
    open_to_others: dict[tuple[str, str, int, str], list[str]] = {}
    for one in (one for one in found if one.reachable):
        process = (one.owner, one.process, one.pid, one.address)
        open_to_others.setdefault(process, []).append(str(one.port))
    for (who, name, pid, address), ports in open_to_others.items():
        others = f" and {len(ports) - 3} more" if len(ports) > 3 else ""
        what = f"{address} port {', '.join(ports[:3])}{others}: {name} ({pid})"
        yield what, f"{what} can be reached from elsewhere; {REMEDIES[who]}"
