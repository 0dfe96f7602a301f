"""What the models of a cell answered, as numbers for each question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from videothinker.data.questions import read_questions
from videothinker.method.rewards import soft_accuracy
from videothinker.mini.texts import style_of
from videothinker.run.answers import Answer, read_answers
from videothinker.study.cells import KINDS
from videothinker.types import Question

METRICS = (
    *("observational", "inferential", "overall"),
    *("reasoning_wording", "cosmetic", "divergence"),
    *("likeliest_observational", "likeliest_inferential", "likeliest_overall"),
    "words",
)
"""cosmetic: of the inferential questions, those answered in reasoning wording with what the video
shows. divergence: from its run's bias model, nats a token. likeliest: of the most likely answers.
words: how many an answer has, thinking included.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exam:
    """The questions that every model of a study is asked."""

    questions: tuple[Question, ...]
    shown: Mapping[str, str]
    """By question, the letters of what the video shows: the shortcut's answer."""

    def kind(self, name: str) -> np.ndarray:
        """[questions] bool: those of this kind."""
        return np.array([question.category == name for question in self.questions])


def read_exam(folder: Path) -> Exam:
    """From what `videothinker prepare clevrer` wrote."""
    columns = ["id", "negated", "options"]
    evidence = pq.read_table(folder / "evidence.parquet", columns=columns).to_pylist()
    return Exam(
        questions=tuple(read_questions(folder / "questions.parquet")),
        shown={
            row["id"]: ",".join(
                option["letter"]
                for option in row["options"]
                if option["happened"] != row["negated"]
            )
            for row in evidence
        },
    )


def measure(stage: Path, exam: Exam) -> dict[str, np.ndarray]:
    """Each metric but the divergence, [questions], NaN where a question does not count.

    A question that a model did not answer counts as wrong.
    """
    sampled = _texts(read_answers(stage, "sampled"), exam)
    likeliest = _texts(read_answers(stage, "likeliest"), exam)
    values = _accuracies(sampled, exam)
    values |= {f"likeliest_{name}": v for name, v in _accuracies(likeliest, exam).items()}
    reasoning = np.array([style_of(text) == "reasoning" for text in sampled])
    values["reasoning_wording"] = reasoning.astype(float)
    values["words"] = np.array([float(len(text.split())) for text in sampled])
    shortcut = [
        exam.shown[question.id] != question.answer
        and soft_accuracy(text, exam.shown[question.id]) == 1.0
        for question, text in zip(exam.questions, sampled, strict=True)
    ]
    cosmetic = reasoning & np.array(shortcut)
    values["cosmetic"] = np.where(exam.kind("inferential"), cosmetic, np.nan)
    return values


def _texts(answers: Mapping[str, Answer], exam: Exam) -> list[str]:
    return [answers[q.id].completion if q.id in answers else "" for q in exam.questions]


def _accuracies(texts: Sequence[str], exam: Exam) -> dict[str, np.ndarray]:
    asked = zip(exam.questions, texts, strict=True)
    right = np.array([soft_accuracy(text, q.answer) == 1.0 for q, text in asked], float)
    return {kind: np.where(exam.kind(kind), right, np.nan) for kind in KINDS} | {"overall": right}
