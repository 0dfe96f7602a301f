"""A run among enemies: data that means harm is named and left out, and nobody else reaches the run.

Nothing changes outside of its folder, and nobody learns its token from what it leaves.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hostile_data import ESCAPES
from hostile_run import HostileRun, hostile_run, lines_of
from other_machine import Machine, answers, machines

from videothinker.config.settings import VideoConfig


@pytest.fixture(scope="module")
def hostile(
    tmp_path_factory: pytest.TempPathFactory, mini_base: Path, mini_video: VideoConfig
) -> Iterator[HostileRun]:
    """Watched from another machine."""
    with machines(1) as made:
        machine = made[0] if made else None
        yield hostile_run(tmp_path_factory.mktemp("hostile"), mini_base, mini_video, machine)


class Elements(HTMLParser):
    """Kinds of elements and attributes of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize("name", ["prepare", "train"])
def test_the_good_part_is_prepared_and_trained_on(hostile: HostileRun, name: str) -> None:
    assert hostile.codes[name] == 0, hostile.said[name]


def test_nothing_changes_outside_the_folders_that_were_named(hostile: HostileRun) -> None:
    assert hostile.changed == set()


def test_nothing_that_was_pickled_is_run(hostile: HostileRun) -> None:
    assert not hostile.marker.exists()


def test_a_model_that_is_a_pickle_is_refused_in_one_line(hostile: HostileRun) -> None:
    assert hostile.codes["model"] == 2
    assert "model.safetensors: holds no safetensors" in hostile.said["model"]


def test_every_good_question_was_trained_on(hostile: HostileRun) -> None:
    files = sorted((hostile.run / "rollouts").glob("*.parquet"))
    trained = {prompt for file in files for prompt in pq.read_table(file)["prompt_id"].to_pylist()}
    assert trained == hostile.good


def test_every_hostile_question_is_in_the_ledger_with_its_reason(hostile: HostileRun) -> None:
    reasons = lines_of(hostile)
    prepared = pq.read_table(hostile.root / "out" / "prepared" / "questions.parquet").to_pylist()
    of_video = {row["video"]: row["id"] for row in prepared}
    pipe, loop, device, bomb = (reasons[of_video[name]] for name in hostile.spoiled)
    assert "neither a file" in pipe
    assert "symbolic links" in loop
    assert "neither a file" in device
    assert "cannot be decoded" in bomb
    assert "leads out" in reasons["../../escape"]
    assert "leads out" in reasons["half way"]
    assert "no such video" in reasons["absolute"]
    assert "no such video" in reasons[f"steer {ESCAPES}"]
    assert len(reasons) == 8 + len(hostile.damaged)


def test_so_is_every_damaged_video_that_neither_stopped_nor_held_up_the_run(
    hostile: HostileRun,
) -> None:
    assert len(hostile.damaged) >= 30
    reasons = lines_of(hostile)
    assert all(reasons[question] for question in hostile.damaged)


def test_nothing_steers_the_terminal(hostile: HostileRun) -> None:
    said = "".join(hostile.said.values())
    assert "\x1b]" not in said
    assert "\x07" not in said


def test_no_name_breaks_a_line_of_the_ledger(hostile: HostileRun) -> None:
    lines = (hostile.run / "skipped.jsonl").read_text().split("\n")
    assert all(line.isprintable() for line in lines)
    assert len([json.loads(line) for line in lines if line]) >= len(lines_of(hostile))


def test_the_page_has_no_element_of_the_attackers(hostile: HostileRun) -> None:
    page = hostile.run / "report.html"
    found = Elements(page)
    assert "evil.example" in page.read_text()
    assert not found.tags & {"script", "iframe", "object", "a", "form"}
    assert not {name for name in found.attributes if name.startswith("on")}


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


@pytest.fixture
def machine(hostile: HostileRun) -> Machine:
    """The one that the run was on, as seen from this one."""
    if hostile.machine is None:
        pytest.skip("no other machine can be made here: that takes Linux, `ip` and root's rights")
    return hostile.machine


def test_another_machine_finds_no_port_open(hostile: HostileRun, machine: Machine) -> None:
    assert hostile.open_ports == set()


def test_another_machine_would_find_a_port_that_is_open(machine: Machine) -> None:
    with machine.listener() as port:
        assert answers(machine.address, port)


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
