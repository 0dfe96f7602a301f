"""Where a process listens."""

import os
import socket
from collections.abc import Iterator

import pytest

from videothinker.process import address
from videothinker.process.address import (
    INTERFACES,
    LOOPBACK,
    interface_of,
    listening,
    own_address,
    stay_on,
)

TWO = {"lo": ["127.0.0.1", "::1"], "eth7": ["192.0.2.7", "fd00::7"]}


@pytest.fixture(autouse=True)
def two_interfaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(os.environ)
    monkeypatch.setattr(address, "interfaces", lambda: TWO)
    yield
    os.environ.clear()
    os.environ.update(before)


def chosen() -> list[str]:
    return [os.environ.get(name, "none") for name in INTERFACES]


def test_by_itself_a_process_is_on_the_loopback() -> None:
    assert own_address() == LOOPBACK


def test_on_the_loopback_whatever_the_shell_says_does_not_count() -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = "eth7"
    stay_on(LOOPBACK)
    assert chosen() == ["lo", "=lo"]
    assert os.environ["VLLM_HOST_IP"] == LOOPBACK


def test_between_machines_the_interface_of_the_machines_address_is_used() -> None:
    stay_on("192.0.2.7")
    assert own_address() == "192.0.2.7"
    assert chosen() == ["eth7", "=eth7"]


def test_between_machines_a_choice_that_somebody_made_stands() -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = "ib0"
    stay_on("192.0.2.7")
    assert chosen() == ["ib0", "ib0"]


def test_an_address_that_no_interface_has_leaves_the_choice_to_the_libraries() -> None:
    assert interface_of("198.51.100.1", TWO) == ""
    stay_on("198.51.100.1")
    assert chosen() == ["none", "none"]


def test_the_loopback_is_an_interface_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert interface_of(LOOPBACK, address.interfaces())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_a_port_is_open_on_one_address_only(host: str) -> None:
    other = {"127.0.0.1": "127.0.0.2", "127.0.0.2": "127.0.0.1"}[host]
    with listening(host) as listener:
        port = listener.getsockname()[1]
        socket.create_connection((host, port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((other, port), timeout=5)
