"""Machines beside this one, as far as their network goes: Linux, and root's rights, are needed."""

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

NETWORK = "198.18.0.0/15"
"""Set aside for tests of networks; each bridge has 256 addresses of it."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What runs `inside` it has its own loopback, and an interface that others reach."""

    inside: Sequence[str]
    address: str
    interface: str
    cable: str
    """This machine's end of what connects it."""

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

    def unplug(self) -> None:
        """From now on nothing reaches it, and it reaches nobody; what runs there goes on."""
        carry_out(f"ip link set {self.cable} down")

    def plug_in(self) -> None:
        """It is there again."""
        carry_out(f"ip link set {self.cable} up")


def answers(address: str, port: int) -> bool:
    """Whether a connection is taken."""
    with socket.socket() as caller:
        caller.settimeout(2)
        return caller.connect_ex((address, port)) == 0


@contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """So many on one network for as long as the block lasts; none where they may not be made."""
    name = f"vt{uuid.uuid4().hex[:6]}"
    first = ipaddress.ip_network(NETWORK)[256 * secrets.randbelow(2**9)]
    made = [
        Machine(
            inside=("ip", "netns", "exec", f"{name}{number}"),
            address=str(first + 1 + number),
            interface=f"{name}{number}b",
            cable=f"{name}{number}a",
        )
        for number in range(1, count + 1)
    ]
    here = first + 1
    try:
        carry_out(f"ip link add {name} type bridge")
        carry_out(f"ip address add {here}/24 dev {name}")
        carry_out(f"ip link set {name} up")
        for one in made:
            space = one.inside[-1]
            carry_out(f"ip netns add {space}")
            carry_out(f"ip link add {one.cable} type veth peer name {one.interface} netns {space}")
            carry_out(f"ip link set {one.cable} master {name} up")
            carry_out(f"ip -n {space} address add {one.address}/24 dev {one.interface}")
            carry_out(f"ip -n {space} link set lo up")
            carry_out(f"ip -n {space} link set {one.interface} up")
            carry_out(f"ip -n {space} route add default via {here}")
            subprocess.run([*one.inside, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield []
    else:
        yield made
    finally:
        links = [*[one.cable for one in made], name]
        ends = [f"ip link delete {link}" for link in links]
        for command in (*ends, *[f"ip netns delete {one.inside[-1]}" for one in made]):
            subprocess.run(command.split(), check=False, capture_output=True)


def carry_out(command: str) -> None:
    """A command that has to go well."""
    subprocess.run(command.split(), check=True, capture_output=True)
