"""What listens here, whose it is, and who can reach it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from videothinker.cli import doctor
from videothinker.cli.doctor import Finding
from videothinker.cli.ports import REMEDIES, Listener, _ports, listeners, owner, said


def listener(address: str, port: int = 9, owner: str = "Ray", pid: int = 1) -> Listener:
    return Listener(owner=owner, process="p", pid=pid, address=address, port=port)


@pytest.mark.parametrize(
    ("command", "whose"),
    [
        (["/lib/ray/core/src/ray/gcs/gcs_server", "--log_dir=/tmp"], "Ray"),
        (["/lib/ray/core/src/ray/raylet/raylet"], "Ray"),
        (["ray::RolloutWorker.generate"], "Ray"),
        (["python", "-u", "/lib/site-packages/ray/dashboard/dashboard.py", "--host=0"], "Ray"),
        (["python", "-m", "videothinker", "train", "configs/cdpo.yaml"], "VideoThinker"),
        (["python", "/home/me/.venv/bin/videothinker", "train"], "VideoThinker"),
        (["/usr/bin/prometheus", "--config.file=x"], "Prometheus"),
        (["/usr/sbin/grafana-server"], "Grafana"),
        (["sshd:", "me@pts/0"], None),
        (["vim", "videothinker/cli/doctor.py"], None),
        ([], None),
    ],
)
def test_processes_are_told_apart_by_how_they_were_started(
    command: list[str], whose: str | None
) -> None:
    found = owner(command)
    assert (found and found[0]) == whose


@pytest.mark.parametrize(
    ("address", "reachable"),
    [
        ("127.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("0.0.0.0", True),
        ("::", True),
        ("192.0.2.7", True),
        ("fe80::1%eth0", True),
    ],
)
def test_only_the_loopback_is_out_of_reach(address: str, reachable: bool) -> None:
    assert listener(address).reachable == reachable


def listening(monkeypatch: pytest.MonkeyPatch, *found: Listener) -> list[Finding]:
    """What the doctor says of them."""
    monkeypatch.setattr(doctor, "listeners", lambda: found)
    return list(doctor.CHECKS["listening"]("listening"))


def test_ports_on_the_loopback_are_one_line_and_well(monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = listening(monkeypatch, listener("127.0.0.1", 1), listener("::1", 2))
    assert (finding.state, finding.found) == ("ok", "2 ports, on the loopback alone")


def test_where_nothing_runs_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = listening(monkeypatch)
    assert (finding.state, finding.found) == ("ok", "no port of a run's")


@pytest.mark.parametrize("whose", REMEDIES)
def test_a_port_that_others_can_reach_is_a_note_with_its_remedy(
    whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = listener("127.0.0.1"), listener("0.0.0.0", 8265, whose, 77)
    within, beyond = listening(monkeypatch, *ports)
    assert (within.state, beyond.state) == ("ok", "note")
    for part in ("0.0.0.0 port 8265", "(77)", REMEDIES[whose]):
        assert part in beyond.remedy


def test_a_process_with_many_ports_is_one_line() -> None:
    ((found, _),) = said([listener("0.0.0.0", port) for port in range(1, 9)])
    assert "port 1, 2, 3 and 5 more" in found


def test_a_process_that_listens_is_found(tmp_path: Path) -> None:
    script = tmp_path / "videothinker"
    script.write_text(
        "import socket\ns = socket.create_server(('127.0.0.1', 0))\n"
        "print(s.getsockname()[1], flush=True)\ninput()\n"
    )
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        found = [one for one in listeners() if one.pid == process.pid]
        process.kill()
    assert [(one.owner, one.address, one.port) for one in found] == [
        ("VideoThinker", "127.0.0.1", port)
    ]


def test_a_socket_that_only_talks_does_not_listen() -> None:
    udp = (socket.AF_INET, socket.SOCK_DGRAM)
    with socket.socket(*udp) as talks, socket.socket(*udp) as waits:
        talks.connect(("127.0.0.1", 9))
        waits.bind(("127.0.0.1", 0))
        ours = _ports("Ray", "p", os.getpid(), psutil.Process().net_connections("inet"))
        found = {one.port for one in ours}
        assert waits.getsockname()[1] in found
        assert talks.getsockname()[1] not in found
