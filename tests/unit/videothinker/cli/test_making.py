"""What is made, where it was asked for."""

import json
from pathlib import Path

import pytest

from videothinker.cli.main import main


def test_mini_writes_a_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = tmp_path / "world"
    assert main(["mini", str(world), "--videos", "2", "--seed", "1"]) == 0
    assert (world / "videos" / "video_00001.mp4").is_file()
    assert "2 videos" in capsys.readouterr().out
    words = ["prepare", "clevrer", "--out", str(tmp_path / "out")]
    words += ["--questions", str(world / "questions.json")]
    words += ["--annotations", str(world / "annotations"), "--videos", str(world / "videos")]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["questions"] == 2
    assert (tmp_path / "out" / "questions.parquet").is_file()
