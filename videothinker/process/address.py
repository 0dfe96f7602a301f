"""Where a process listens for others of its run: on the loopback, unless the run is on several
machines.

Libraries choose for themselves, and mostly every interface that there is: torch's rendezvous, gloo,
NCCL, vLLM. `stay_on` leaves them one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

LOOPBACK = "127.0.0.1"
ADDRESS = "VIDEOTHINKER_ADDRESS"
"""Environment variable: this machine as the run's other processes reach it."""
INTERFACES = {"GLOO_SOCKET_IFNAME": "{}", "NCCL_SOCKET_IFNAME": "={}"}
"""Environment variable -> how it takes an interface; NCCL would take the name for a beginning."""


def own_address() -> str:
    """This machine's address within the run."""
    return os.environ.get(ADDRESS, LOOPBACK)


def stay_on(address: str) -> None:
    """From now on this process's libraries listen on the interface of this address alone.

    Between machines whoever chose an interface beforehand knows the network better.
    """
    os.environ[ADDRESS] = address
    wanted = {"VLLM_HOST_IP": address}
    interface = interface_of(address, interfaces())
    if interface:
        wanted |= {name: form.format(interface) for name, form in INTERFACES.items()}
    for name, value in wanted.items():
        if address == LOOPBACK or name not in os.environ:
            os.environ[name] = value


def interfaces() -> dict[str, list[str]]:
    """Each interface of this machine with its addresses."""
    import psutil

    return {name: [one.address for one in of] for name, of in psutil.net_if_addrs().items()}


def interface_of(address: str, known: Mapping[str, list[str]]) -> str:
    """The name of the interface with an address; empty where none has it, as behind a NAT."""
    return next((name for name, addresses in known.items() if address in addresses), "")


def listening(address: str) -> socket.socket:
    """A socket that listens on a free port of this address, and of no other."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, 0), family=family)
