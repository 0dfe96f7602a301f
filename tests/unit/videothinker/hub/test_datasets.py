"""Questions of the Hub, from one that listens on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub_server import Hub, Repository
from huggingface_hub import constants

from videothinker.cli.main import main
from videothinker.data.questions import read_questions
from videothinker.errors import InputError
from videothinker.hub.datasets import fetch, is_dataset_name

ROW = {"question": "Which?", "options": ["red", "blue"], "answer": "B", "video": "a.mp4"}
NAME = "hf://datasets/me/clips"


def rows(*answers: str) -> bytes:
    return "".join(json.dumps(ROW | {"answer": answer}) + "\n" for answer in answers).encode()


def added(hub: Hub, files: dict[str, bytes], branch: str = "main") -> str:
    repository = hub.models.setdefault("datasets/me/clips", Repository())
    return repository.commit(files, branch)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("me/clips", True),
        ("me/clips@v2", True),
        (f"{NAME}/data/train.jsonl", True),
        ("me/mine.jsonl", False),
        ("mine.jsonl", False),
        ("data/some/mine", False),
        ("here/clips", False),
    ],
)
def test_what_is_a_name(
    text: str, is_one: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here/clips").mkdir(parents=True)
    assert is_dataset_name(text) == is_one


def test_its_questions_arrive_and_nothing_else(hub: Hub) -> None:
    files = {"train.jsonl": rows("A"), "README.md": b"", "load.py": b"", "info.json": b"{}"}
    commit = added(hub, files)
    source, [file] = fetch("me/clips")
    assert source == f"{NAME}@{commit}"
    assert file.read_bytes() == files["train.jsonl"]
    assert hub.files_sent() == {"train.jsonl"}


def test_a_part_is_a_file_or_all_that_begins_so(hub: Hub) -> None:
    shards = {f"data/train-{n}.jsonl": rows("A") for n in range(2)}
    commit = added(hub, {**shards, "data/test-0.jsonl": rows("B")})
    source, found = fetch(f"{NAME}/data/train")
    assert source == f"{NAME}@{commit}/data/train"
    assert [file.name for file in found] == ["train-0.jsonl", "train-1.jsonl"]
    assert [file.name for file in fetch(f"{NAME}/data/test-0.jsonl")[1]] == ["test-0.jsonl"]


def test_a_file_that_is_named_whole_is_that_one_alone(hub: Hub) -> None:
    added(hub, {"mine.json": b"[]", "mine.jsonl": rows("A")})
    assert [file.name for file in fetch(f"{NAME}/mine.json")[1]] == ["mine.json"]


def test_what_was_fetched_of_another_split_is_not_taken_for_this_one(hub: Hub) -> None:
    added(hub, {"train.jsonl": rows("A"), "test.jsonl": rows("B")})
    fetch(f"{NAME}/test")
    assert [file.name for file in fetch(f"{NAME}/train")[1]] == ["train.jsonl"]


def test_a_revision_is_that_one_and_stays_it_offline(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = added(hub, {"train.jsonl": rows("A")})
    added(hub, {"train.jsonl": rows("B")})
    assert fetch(f"{NAME}@{first}")[1][0].read_bytes() == rows("A")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    source, [file] = fetch(f"me/clips@{first}")
    assert source == f"{NAME}@{first}"
    assert file.read_bytes() == rows("A")


@pytest.mark.parametrize(
    ("files", "name", "said"),
    [
        ({}, "me/other", "me/other: no such folder, and no such data set on the Hub"),
        ({}, f"{NAME}@v9", "has no such revision"),
        ({}, "hf://datasets/me", "no name of a data set; give hf://datasets/OWNER/NAME"),
        ({"load.py": b""}, "me/clips", "me/clips: holds no file of questions"),
        ({"a.jsonl": b""}, f"{NAME}/b", "/b: holds no file of questions"),
        (
            {"data/train-0.parquet": b"", "data/test-0.parquet": b""},
            "me/clips",
            f"has test and train in it, and only one of them can be meant. Name one:"
            f" {NAME}/data/test",
        ),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(
    hub: Hub, files: dict[str, bytes], name: str, said: str
) -> None:
    added(hub, files or {"train.jsonl": rows("A")})
    with pytest.raises(InputError) as refused:
        fetch(name)
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_prepare_takes_one_and_keeps_where_it_came_from(hub: Hub, tmp_path: Path) -> None:
    commit = added(hub, {"train.jsonl": rows("A", "B")})
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"")
    words = ["prepare", "jsonl", "me/clips", "--videos", str(tmp_path / "clips")]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert len(read_questions(tmp_path / "out" / "questions.parquet")) == 2
    stats = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert stats["source"] == f"{NAME}@{commit}"
