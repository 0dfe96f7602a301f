"""The ledger of left-out questions, and the share above which a run stops."""

from pathlib import Path

import pytest

from cluster.left_out import LeftOut
from cluster.work import Prepared
from videothinker.errors import VideoThinkerError
from videothinker.run import RunDirectory, read_lines
from videothinker.types import Question


def prepared(id: int, failure: str | None) -> Prepared:
    question = Question(id=str(id), video="", text="", options=(), answer="A")
    return Prepared(question=question, prompt=None, failure=failure)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", "")


def test_what_cannot_be_asked_is_in_the_ledger_with_its_reason(run: RunDirectory) -> None:
    usable = LeftOut(run, 0.1).sort("bias", 3, [prepared(0, None), prepared(1, "broken")])
    assert [item.question.id for item in usable] == ["0"]
    assert read_lines(run.path / "skipped.jsonl") == [
        {"stage": "bias", "step": 3, "question_id": "1", "reason": "broken"}
    ]


def test_a_share_above_the_allowed_one_stops_the_run_with_the_ledgers_name(
    run: RunDirectory,
) -> None:
    left_out = LeftOut(run, 0.1)
    left_out.sort("bias", 1, [prepared(id, None if id else "broken") for id in range(10)])
    with pytest.raises(VideoThinkerError, match=r"3 of 20 .* = 0\.1 allows; .*skipped\.jsonl"):
        left_out.sort("bias", 2, [prepared(id, None if id > 1 else "broken") for id in range(10)])


def test_the_allowed_share_itself_does_not(run: RunDirectory) -> None:
    LeftOut(run, 0.1).sort("bias", 1, [prepared(id, None if id > 1 else "x") for id in range(20)])


def test_the_first_few_questions_are_too_few_to_judge(run: RunDirectory) -> None:
    assert LeftOut(run, 0.1).sort("bias", 1, [prepared(0, "broken")] * 19) == []
