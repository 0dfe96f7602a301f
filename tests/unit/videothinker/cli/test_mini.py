import json
from dataclasses import fields
from pathlib import Path

import pytest

from videothinker.cli.main import main
from videothinker.cli.mini import KNOBS
from videothinker.mini.settings import World


def test_mini_writes_the_world_and_the_split_that_its_options_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = tmp_path / "world"
    words = "--videos 2 --seed 1 --split test --start 5 --objects 8 --frames 8 --json"
    assert main(["mini", str(world), *words.split(), "--observational", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["world"]["observational"] == 0
    annotation = json.loads((world / "annotations" / "annotation_2000006.json").read_text())
    assert len(annotation["object_property"]) == 8
    assert len(annotation["motion_trajectory"]) == 8
    assert len(json.loads((world / "questions.json").read_text())) == 2


@pytest.mark.parametrize(
    "wrong",
    ["--objects 9", "--frames 7", "--observational 2", "--start -1", "--seed -2"],
)
def test_a_world_that_cannot_be_is_refused_before_anything_is_written(
    wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["mini", str(tmp_path / "new" / "world"), "--videos", "2", "--seed", "1"]
    assert main([*words, *wrong.split()]) == 2
    said = capsys.readouterr().err
    assert wrong in said
    assert "ive " in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_every_knob_of_a_mini_world_has_its_words_in_the_help() -> None:
    assert list(KNOBS) == [knob.name for knob in fields(World)]
