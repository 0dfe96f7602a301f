"""Data that means harm: it is named and left out, and nothing outside the run's folder changes."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hostile_data import ESCAPES
from hostile_run import HostileRun, lines_of


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
    assert len(reasons) == 8


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
