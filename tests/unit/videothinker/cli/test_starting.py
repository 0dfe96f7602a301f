"""What `init` writes works at once, and nothing of the user's is touched."""

from __future__ import annotations

import errno
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from videothinker.cli.main import main
from videothinker.config.loading import load_config
from videothinker.data.questions import read_questions

PAPER = Path(__file__).parents[4] / "configs" / "paper.yaml"
FILES = ("train.yaml", "rewards.py", "questions.jsonl", "prepared")

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = Path("clips")
    (folder / "more").mkdir(parents=True)
    for name in ("b.mp4", "more/a.webm", "notes.txt"):
        (folder / name).touch()
    return folder


def everything() -> dict[Path, bytes | None]:
    """All there is, hidden things as well."""
    return {file: file.read_bytes() if file.is_file() else None for file in Path().rglob("*")}


def dry_run(capsys: Captured, config: str) -> str:
    assert main(["train", config, "--dry-run"]) == 0
    return capsys.readouterr().err


def test_a_dry_run_takes_what_was_written_at_once(capsys: Captured) -> None:
    assert main(["init", "mine", "--videos", "clips"]) == 0
    assert "videothinker train mine/train.yaml --dry-run" in capsys.readouterr().out
    said = dry_run(capsys, "mine/train.yaml")
    assert "mine/train.yaml is a valid configuration: bias 500 steps, cdpo 500 steps" in said
    assert "stages." not in said
    assert "data." not in said
    assert sorted(file.name for file in Path("mine").iterdir()) == sorted(FILES)


def test_the_stages_are_the_papers() -> None:
    assert main(["init", "mine", "--videos", "clips"]) == 0
    ours, papers = load_config(Path("mine/train.yaml")), load_config(PAPER)
    own = {"name", "out", "data", "rewards", "stages"}
    assert ours.model_dump(exclude=own) == papers.model_dump(exclude=own)
    for stage, paper in zip(ours.stages, papers.stages, strict=True):
        own_too = {"questions", "category"}
        assert stage.model_dump(exclude=own_too) == paper.model_dump(exclude=own_too)
    assert [stage.category for stage in ours.stages] == ["observational", None]


def test_the_function_that_is_written_pays(capsys: Captured) -> None:
    assert main(["init", "mine", "--videos", "clips"]) == 0
    file = Path("mine/rewards.py")
    titles = [one.title for one in load_config(Path("mine/train.yaml")).rewards]
    assert titles == ["accuracy", "format", "brief"]
    file.write_text(file.read_text().replace("return min", "return None and min"))
    said = dry_run(capsys, "mine/train.yaml")
    assert "rewards.2.call: tried on two completions: reward rewards.py:brief: it paid None" in said


def test_ten_lines_show_kinds_of_answers_about_videos_that_are_there() -> None:
    assert main(["init", "mine", "--videos", "clips"]) == 0
    rows = [json.loads(line) for line in Path("mine/questions.jsonl").read_text().splitlines()]
    assert len(rows) == 10
    assert {row["video"] for row in rows} == {"b.mp4", "more/a.webm"}
    prepared = read_questions("mine/prepared/questions.parquet")
    assert {one.kind for one in prepared} == {"choice", "multi", "number", "yes_no", "text"}
    assert len(read_questions("mine/prepared/bias.parquet")) == 5
    stats = json.loads(Path("mine/prepared/stats.json").read_text())
    assert (stats["questions"], stats["source"]) == (10, "mine/questions.jsonl")


def test_beside_videos_it_leaves_them_alone(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, clips: Path
) -> None:
    monkeypatch.chdir(clips)
    before = everything()
    assert main(["init", "."]) == 0
    capsys.readouterr()
    assert before.items() <= everything().items()
    assert "train.yaml is a valid configuration" in dry_run(capsys, "train.yaml")


def test_without_videos_the_lines_have_names_to_replace(capsys: Captured) -> None:
    assert main(["init", "new"]) == 0
    assert "No video was found in new" in capsys.readouterr().out
    assert '"video": "replace_10.mp4"' in Path("new/questions.jsonl").read_text()
    assert not Path("new/prepared").exists()
    said = dry_run(capsys, "new/train.yaml")
    command = "videothinker prepare jsonl new/questions.jsonl --videos new --out new/prepared"
    assert f"no file new/prepared/questions.parquet. Make it: {command}" in said


@pytest.mark.parametrize("folder", ["mine", "a folder's"])
def test_what_it_says_to_type_next_works(capsys: Captured, folder: str) -> None:
    assert main(["init", folder, "--videos", "clips", "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    prepare, train = (shlex.split(command)[1:] for command in told["next"])
    assert main(prepare) == 0
    assert main([*train, "--dry-run"]) == 0
    assert [Path(file).exists() for file in told["written"]] == [True] * 4


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten(capsys: Captured, name: str) -> None:
    Path("mine").mkdir()
    Path("mine", name).write_text("the user's own")
    before = everything()
    assert main(["init", "mine", "--videos", "clips"]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith(f"videothinker init: mine: has {name} already, and nothing is overwri")
    assert everything() == before


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["mine", "--videos", "gone"], "--videos gone: no such folder, or no video in it (.mp4"),
        (["mine", "--videos", "empty"], "--videos empty: no such folder, or no video in it (.mp4"),
        (["clips/b.mp4"], "clips/b.mp4: is a file. Name a folder."),
    ],
)
def test_what_cannot_be_begun_is_refused_in_one_line(
    capsys: Captured, words: list[str], line: str
) -> None:
    Path("empty").mkdir()
    before = everything()
    assert main(["init", *words]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith(f"videothinker init: {line}")
    assert everything() == before


def test_a_full_disk_leaves_nothing_behind(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("videothinker.data.own.prepare.prepare", full)
    before = everything()
    assert main(["init", "mine", "--videos", "clips"]) == 1
    assert "no space left" in capsys.readouterr().err
    assert everything() == before


def test_the_reward_pays_for_few_words() -> None:
    assert main(["init", "mine"]) == 0
    names: dict[str, Any] = {}
    exec(Path("mine/rewards.py").read_text(), names)
    paid = [names["brief"]("word " * count, None) for count in (3, 100, 250, 400, 900)]
    assert paid == [1.0, 1.0, 0.5, 0.0, 0.0]
