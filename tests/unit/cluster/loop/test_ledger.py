"""The ledger of left-out questions, and the share above which a run stops."""

from pathlib import Path

import pytest

from cluster.loop.ledger import Ledger
from cluster.workers.work import Prepared
from videothinker.errors import VideoThinkerError
from videothinker.files import read_lines
from videothinker.process.metrics import QUESTIONS, SAMPLES_SKIPPED
from videothinker.run.directory import RunDirectory
from videothinker.types import Failure, Question


def prepared(id: int, failure: str | None) -> Prepared:
    question = Question(id=str(id), video="", text="", options=(), answer="A")
    why = None if failure is None else Failure(kind="video", reason=failure)
    return Prepared(question=question, prompt=None, failure=why)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", "")


def test_what_cannot_be_asked_is_in_the_ledger_with_its_reason(run: RunDirectory) -> None:
    Ledger(run, 0.1).prepared("bias", 3, [prepared(0, None), prepared(1, "broken")])
    assert read_lines(run.path / "skipped.jsonl") == [
        {"stage": "bias", "step": 3, "question_id": "1", "reason": "broken"}
    ]


def test_a_share_above_the_allowed_one_stops_the_run_with_the_ledgers_name(
    run: RunDirectory,
) -> None:
    ledger = Ledger(run, 0.1)
    ledger.prepared("bias", 1, [prepared(id, None if id else "broken") for id in range(10)])
    with pytest.raises(VideoThinkerError, match=r"3 of 20 .* = 0\.1 allows; .*skipped\.jsonl"):
        ledger.prepared("bias", 2, [prepared(id, None if id > 1 else "broken") for id in range(10)])


def test_the_allowed_share_itself_does_not(run: RunDirectory) -> None:
    Ledger(run, 0.1).prepared(
        "bias", 1, [prepared(id, None if id > 1 else "x") for id in range(20)]
    )


def test_the_first_few_questions_are_too_few_to_judge(run: RunDirectory) -> None:
    Ledger(run, 0.1).prepared("bias", 1, [prepared(0, "broken")] * 19)


def skipped(kind: str) -> float:
    return SAMPLES_SKIPPED.labels(kind)._value.get()


def test_questions_and_what_was_left_out_of_them_are_counted_by_kind(run: RunDirectory) -> None:
    ledger, question = Ledger(run, 1.0), prepared(1, None).question
    before = {kind: skipped(kind) for kind in ("video", "processes_lost", "too_old")}
    asked = QUESTIONS._value.get()
    ledger.prepared("bias", 1, [prepared(0, "broken"), prepared(1, None)])
    ledger.add("bias", 1, question, Failure(kind="processes_lost", reason="rollout-0 died"))
    ledger.add("bias", 1, question, Failure(kind="too_old", reason="version 1"))
    assert {kind: skipped(kind) - count for kind, count in before.items()} == dict.fromkeys(
        before, 1
    )
    assert QUESTIONS._value.get() - asked == 2
