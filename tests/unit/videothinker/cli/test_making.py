"""What is made, where it was asked for."""

import json
import shutil
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jsonl", "--out", "o"], "prepare jsonl: FILE is missing"),
        (["jsonl", "f.jsonl"], "prepare jsonl: --out is missing"),
        (["jsonl", "f.jsonl", "--head", "0"], "--head 0: no question to show"),
        (["clevrer", "--out", "o"], "prepare clevrer: --questions is missing"),
    ],
)
def test_what_a_kind_of_data_needs_is_asked_for(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", *words, "--videos", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


def test_what_cannot_be_merged_is_one_line_and_nothing_is_written(
    mini_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    assert main(["merge", str(run), "--out", str(out)]) == 2
    assert "neither an adapter (no adapter_config.json) nor a run" in capsys.readouterr().err
    model = run / "stages" / "cdpo" / "model"
    shutil.copytree(mini_base, model)
    summary = {"models": [{"name": "base"}, {"name": "cdpo"}]}
    (run / "summary.json").write_text(json.dumps(summary))
    assert main(["merge", str(run), "--out", str(out)]) == 2
    assert f"{model}: a whole model already" in capsys.readouterr().err
    (model / "adapter_config.json").write_text('{"base_model_name_or_path": "them/theirs"}')
    assert main(["merge", str(run), "--out", str(tmp_path)]) == 2
    assert "is there already; name a new folder" in capsys.readouterr().err
    assert main(["merge", str(run), "--out", str(out)]) == 2
    assert "an adapter of them/theirs, which is not here. Bring" in capsys.readouterr().err
    assert not out.exists()
