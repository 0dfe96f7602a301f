"""Two machines with addresses of their own, which are one Ray: cut off, lost, and started again."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from other_machine import Machine, machines
from ray_nodes import Node

PORT = 6379


class TwoHosts:
    """The head, where the driver is, and another one."""

    def __init__(self, head: Machine, other: Machine) -> None:
        self.address = f"{head.address}:{PORT}"
        self.inside = head.inside
        self._head, self._other = head, other
        self._nodes: list[Node] = []
        self.start()

    def start(self) -> None:
        """Both, anew."""
        options = (f"--port={PORT}", "--include-dashboard=false")
        head = Node("--head", *options, inside=self._head.inside)
        self._nodes = [head, self._join()]

    def _join(self) -> Node:
        return Node(f"--address={self.address}", inside=self._other.inside)

    def living(self) -> list[int]:
        """Every process of both."""
        return [pid for node in self._nodes for pid in node.living()]

    def cut_off(self, seconds: float) -> None:
        """Nothing comes from the other one for so long."""
        self._other.unplug()
        time.sleep(seconds)
        self._other.plug_in()

    def on_the_other(self) -> list[int]:
        """Every process of that one."""
        return self._nodes[1].living()

    def lose_other(self) -> None:
        """As if its power failed; and it is switched on again."""
        self._nodes[1].lose()
        self._nodes[1] = self._join()

    def keep_up(self) -> None:
        """Start Ray on the other one where it has ended, as a machine's own service would: a node
        that was given up while it was cut off ends once it hears of that."""
        if self._nodes[1].process.poll() is not None:
            self.lose_other()

    def lose(self) -> None:
        """Both lose their power."""
        for node in self._nodes:
            node.lose()


@contextmanager
def two_hosts() -> Iterator[TwoHosts | None]:
    """For as long as the block lasts; None where they may not be made."""
    os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
    with machines(2) as made:
        if not made:
            yield None
            return
        hosts = TwoHosts(*made)
        try:
            yield hosts
        finally:
            hosts.lose()
