"""Answers that exist already, scored and looked into."""

import json
from pathlib import Path

import pytest

from videothinker.cli.main import main
from videothinker.data.questions import write_questions
from videothinker.types import Question


@pytest.fixture
def two_questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.parquet"
    kinds = ("observational", "inferential")
    questions = [
        Question(
            id=f"q{number}",
            video="v.mp4",
            text="?",
            options=(("A", "a"), ("B", "b")),
            answer="A",
            category=kind,
        )
        for number, kind in enumerate(kinds)
    ]
    write_questions(path, questions)
    return path


def write_answers(path: Path, *answers: tuple[str, str]) -> str:
    lines = [json.dumps({"id": name, "completion": text}) for name, text in answers]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_score_prints_json(
    two_questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = write_answers(
        tmp_path / "a.jsonl", ("q1", "<answer>B</answer>"), ("q0", "<answer>A</answer>")
    )
    words = ["score", "--benchmark", "clevrer", "--data", str(two_questions), "--answers", answers]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 0.5


def test_diagnose_prints_the_gap(
    two_questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = write_answers(
        tmp_path / "a.jsonl", ("q0", "<answer>A</answer>"), ("q1", "<answer>B</answer>")
    )
    words = ["diagnose", "--questions", str(two_questions), "--answers", answers]
    assert main(words) == 0
    assert "shortcut gap   +100.0%" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shortcut_gap"] == 1.0


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('{"id": "q0", "completion": "A"}', "1 of 2 questions have no answer, the first is q1"),
        ('{"id": "q0", "completion": "A"}\n{"id": "q0", "completion": "A"}', "line 2: a second"),
        ('{"id": "q9", "completion": "A"}', "no question has the id q9"),
        ('{"id": "q0"}', "line 1: expected"),
        ("nonsense", "line 1: expected"),
        ('{"id": "q0", "completion": 3}', "is not a string"),
    ],
)
def test_answers_that_do_not_fit_the_questions_are_refused(
    lines: str,
    said: str,
    two_questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = tmp_path / "a.jsonl"
    answers.write_text(lines)
    words = ["diagnose", "--questions", str(two_questions), "--answers", str(answers)]
    assert main(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--workers", "--workers 0: at least one engine is needed"),
        ("--loaders", "--loaders 0: at least one is needed"),
        ("--max-tokens", "--max-tokens 0: an answer has at least one token"),
    ],
)
def test_nobody_answers_with_none(
    option: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("evaluate", "--model", "m", "--benchmark", "mmvu", "--data", "d", "--videos", "v")
    assert main([*asked, "--out", str(tmp_path / "out"), option, "0"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
