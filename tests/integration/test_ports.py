"""Who can reach a run: nobody from elsewhere, and nobody learns its token from what it leaves."""

from __future__ import annotations

import ipaddress

import pytest
from hostile_run import HostileRun
from other_machine import answers


def is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def test_whatever_listened_did_so_on_the_loopback(hostile: HostileRun) -> None:
    assert not {found for found in hostile.sockets if not is_loopback(found[1])}


def test_everything_that_may_listen_was_looked_at(hostile: HostileRun) -> None:
    listened = " ".join(sorted({process for process, _, _ in hostile.sockets}))
    for part in ("gcs_server", "raylet", "DashboardAgent", "ray::RolloutWorker", "ray::Anchor"):
        assert part in listened
    ranks = [port for process, _, port in hostile.sockets if "ray::LearnerRank" in process]
    assert len(ranks) >= 4  # Ray's, our metrics, the meeting point, gloo's


def test_another_machine_finds_no_port_open(hostile: HostileRun) -> None:
    if hostile.machine is None:
        pytest.skip("no other machine can be made here: that takes Linux, `ip` and root's rights")
    assert hostile.open_ports == set()


def test_another_machine_would_find_a_port_that_is_open(hostile: HostileRun) -> None:
    if hostile.machine is None:
        pytest.skip("no other machine can be made here: that takes Linux, `ip` and root's rights")
    with hostile.machine.listener() as port:
        assert answers(hostile.machine.address, port)


def test_doctor_names_what_a_live_run_has_open(hostile: HostileRun) -> None:
    assert {owner for owner, _, _ in hostile.doctors} >= {"Ray", "VideoThinker"}
    named = {(address, port) for _, address, port in hostile.doctors}
    listened = {(address, port) for _, address, port in hostile.sockets}
    assert len(listened - named) <= len(listened) / 4  # some came and went between two looks


def test_the_token_of_the_cluster_is_nowhere(hostile: HostileRun) -> None:
    token = hostile.token.encode()
    files = [file for file in (hostile.root / "out").rglob("*") if file.is_file()]
    assert len(files) > 20
    assert not [file for file in files if token in file.read_bytes()]
    assert not [name for name, text in hostile.said.items() if hostile.token in text]
