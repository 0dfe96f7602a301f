"""Which questions are asked, and what is kept of the answers; no model."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import completion, group

from cluster.loop.asking import Reply
from cluster.verbs import evaluate
from cluster.verbs.evaluate import Answers, Evaluation, Pass
from videothinker.errors import InputError
from videothinker.evaluation.protocol import usual
from videothinker.files import read_lines
from videothinker.model.checkpoint import PAPER_EVALUATION, write_budget
from videothinker.types import Failure, Question

IDENTITY: dict[str, Any] = {
    "digest": "d",
    "benchmark": "mmvu",
    "questions": "q",
    "subtitles": None,
    "protocol": usual("direct").settled(PAPER_EVALUATION).model_dump(),
}


def question(name: str) -> Question:
    return Question(id=name, video="v", text="?", options=(("A", "a"),), answer="A")


QUESTIONS = [question(name) for name in ("one", "two", "three")]


def said(question: Question, text: str) -> Reply:
    answer = group(completion(text), about=question)
    return Reply(question=question, temperature=0.0, outcome=answer)


def evaluation(out: Path) -> Evaluation:
    return Evaluation(model=out, benchmark="mmvu", data=out, videos=out, out=out)


class Model:
    """Answers "A", except to what it cannot; remembers what it was asked, and how."""

    def __init__(self, cannot: str) -> None:
        self.cannot = cannot
        self.asked: list[tuple[str, str]] = []

    def answering(self, *_: object) -> AbstractContextManager["Model"]:
        @contextmanager
        def running() -> Iterator[Model]:
            yield self

        return running()

    def answer(
        self, questions: Sequence[Question], _: object, view: str, temperature: float
    ) -> Iterator[Reply]:
        for one in questions:
            self.asked.append((one.id, view))
            failure = Failure(kind="video", reason="no video")
            cannot = Reply(question=one, temperature=0.0, outcome=failure)
            yield cannot if one.id == self.cannot else said(one, "A")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    model = Model(cannot="two")
    monkeypatch.setattr(evaluate, "answering", model.answering)
    return model


def test_answers_are_kept_and_what_had_none_is_asked_again(model: Model, tmp_path: Path) -> None:
    for _ in range(2):
        answers = Answers(tmp_path, IDENTITY)
        evaluation(tmp_path).answer("evaluate", [Pass(questions=QUESTIONS, answers=answers)])
        assert answers.known == {"one": "A", "three": "A"}
        assert read_lines(tmp_path / "skipped.jsonl") == [
            {"question_id": "two", "reason": "no video"}
        ]
    assert [name for name, _ in model.asked] == ["one", "two", "three", "two"]


def test_every_pass_is_asked_under_its_own_view(model: Model, tmp_path: Path) -> None:
    blind = Pass(questions=QUESTIONS[:1], answers=Answers(tmp_path / "a", IDENTITY), view="blind")
    whole = Pass(questions=QUESTIONS[:1], answers=Answers(tmp_path / "b", IDENTITY))
    evaluation(tmp_path).answer("probe", [blind, whole])
    assert model.asked == [("one", "blind"), ("one", "video")]


def test_where_everything_is_answered_no_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = Answers(tmp_path, IDENTITY)
    answers.add(said(QUESTIONS[0], "B"))
    monkeypatch.setattr(evaluate, "answering", lambda *_: pytest.fail("a model was loaded"))
    evaluation(tmp_path).answer("evaluate", [Pass(questions=QUESTIONS[:1], answers=answers)])
    assert answers.known == {"one": "B"}


@pytest.mark.parametrize(
    ("trained", "benchmark", "expected"),
    [
        ("training", "clevrer", "training"),
        ("training", "mmvu", "evaluation"),
        ("both", "clevrer", "training"),
        ("direct", "clevrer", "direct"),
        ("direct", "mmvu", "direct"),
    ],
)
def test_a_model_that_learned_to_answer_alone_is_asked_for_that(
    tmp_path: Path, trained: str, benchmark: str, expected: str
) -> None:
    write_budget(tmp_path, PAPER_EVALUATION.model_copy(update={"wording": trained}))
    one = replace(evaluation(tmp_path), benchmark=benchmark)
    assert one.resolved().wording == expected
    assert replace(one, wording="training").resolved().wording == "training"


def test_an_answer_that_was_torn_off_is_lost_alone(tmp_path: Path) -> None:
    Answers(tmp_path, IDENTITY).add(said(QUESTIONS[0], "A"))
    with (tmp_path / "answers.jsonl").open("a") as file:
        file.write('{"id": "two", "comp')
    answers = Answers(tmp_path, IDENTITY)
    answers.add(said(QUESTIONS[2], "A"))
    assert [line["id"] for line in read_lines(tmp_path / "answers.jsonl")] == ["one", "three"]


@pytest.mark.parametrize(
    ("key", "other"),
    [
        *((key, {key: "another"}) for key in ("digest", "benchmark", "questions", "subtitles")),
        *(
            (key, {"protocol": IDENTITY["protocol"] | {key: value}})
            for key, value in (("wording", "training"), ("max_tokens", 7), ("temperature", 1.0))
        ),
        ("video.fps", {"protocol": IDENTITY["protocol"] | {"video": {"fps": 1.0}}}),
    ],
)
def test_answers_given_under_other_circumstances_are_refused(
    tmp_path: Path, key: str, other: dict[str, Any]
) -> None:
    Answers(tmp_path, IDENTITY)
    with pytest.raises(InputError, match=rf"another {key} .* give a new --out folder"):
        Answers(tmp_path, IDENTITY | other)


def test_what_it_is_called_and_scored_by_does_not_matter(tmp_path: Path) -> None:
    Answers(tmp_path, IDENTITY)
    renamed = IDENTITY["protocol"] | {"name": "mine", "note": "n", "scoring": "official"}
    assert Answers(tmp_path, IDENTITY | {"protocol": renamed}).known == {}


def test_what_a_protocol_returns_stands_before_the_answer(tmp_path: Path) -> None:
    Answers(tmp_path, IDENTITY, "(").add(said(QUESTIONS[0], "A) a"))
    assert Answers(tmp_path, IDENTITY, "(").known == {"one": "(A) a"}
