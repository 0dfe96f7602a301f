"""A machine beside this one, as far as its network goes: Linux, and root's rights, are needed."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

NETWORK = "198.18.0.0/16"
"""Set aside for tests of networks; each machine has four addresses of it."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What runs `inside` it has its own loopback, and an interface that this machine reaches."""

    inside: Sequence[str]
    address: str
    interface: str

    def open_ports(self) -> set[int]:
        """Every TCP port that answers somebody who comes from here."""
        return {port for port in range(1, 2**16) if answers(self.address, port)}

    @contextmanager
    def listener(self) -> Iterator[int]:
        """A port that is open on every interface of the machine."""
        code = (
            "import socket; s = socket.create_server(('', 0));"
            "print(s.getsockname()[1], flush=True); input()"
        )
        with subprocess.Popen(
            [*self.inside, sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout
            yield int(process.stdout.readline())
            process.kill()


def answers(address: str, port: int) -> bool:
    """Whether a connection is taken."""
    with socket.socket() as caller:
        caller.settimeout(2)
        return caller.connect_ex((address, port)) == 0


@contextmanager
def beside_this_one() -> Iterator[Machine | None]:
    """The machine for as long as the block lasts; None where it may not be made."""
    name = f"vt{uuid.uuid4().hex[:8]}"
    first = ipaddress.ip_network(NETWORK)[4 * secrets.randbelow(2**14)]
    here, there = str(first + 1), str(first + 2)
    ours, theirs = f"{name}a", f"{name}b"
    inside = ("ip", "netns", "exec", name)
    try:
        for command in (
            f"ip netns add {name}",
            f"ip link add {ours} type veth peer name {theirs} netns {name}",
            f"ip address add {here}/30 dev {ours}",
            f"ip link set {ours} up",
            f"ip -n {name} address add {there}/30 dev {theirs}",
            f"ip -n {name} link set lo up",
            f"ip -n {name} link set {theirs} up",
            f"ip -n {name} route add default via {here}",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)
        subprocess.run([*inside, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield None
    else:
        yield Machine(inside=inside, address=there, interface=theirs)
    finally:
        for command in (f"ip link delete {ours}", f"ip netns delete {name}"):
            subprocess.run(command.split(), check=False, capture_output=True)
