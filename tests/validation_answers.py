"""Runs that hold their models' answers to validation questions, for whoever tests what is made of
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from videothinker.data.questions import write_questions
from videothinker.run.answers import Answer, write_answers
from videothinker.run.directory import RunDirectory
from videothinker.types import Question


def question(identity: str, category: str, answer: str = "A") -> Question:
    """One with three options."""
    return Question(
        id=identity,
        video=f"{identity}.mp4",
        text=f"What happens in {identity}?",
        options=(("A", "one thing"), ("B", "another"), ("C", "a third")),
        answer=answer,
        category=category,
    )


def reply(letter: str, thinking: str = "so it is") -> str:
    """A completion with the asked layout."""
    return f"<think> {thinking} </think> <answer>{letter}</answer>"


def keep(run: Path, model: str, said: Mapping[str, str]) -> Path:
    """Writes a model's completions, by the question's id, as a run does."""
    answers = [
        Answer(
            id=identity,
            drawing="sampled",
            completion=completion,
            token_ids=np.arange(2),
            logprobs=np.zeros(2, np.float32),
        )
        for identity, completion in said.items()
    ]
    return write_answers(run / "stages" / model, answers)


def answered_run(
    folder: Path, questions: Sequence[Question], said: Mapping[str, Mapping[str, str]]
) -> Path:
    """A run whose stages are these models, and whose models have answered."""
    asked = folder / "questions.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    write_questions(asked, questions)
    config = {
        "name": "answered",
        "data": {"videos": str(folder), "validation": str(asked), "validation_questions": 100},
        "stages": [{"name": name, "steps": 1} for name in said if name != "base"],
    }
    run = RunDirectory.create(folder / "run", yaml.safe_dump(config))
    for model, completions in said.items():
        keep(run.path, model, completions)
    return run.path


def by_letters(
    questions: Sequence[Question], letters: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Completions by model from one letter for each question, "-" where there is no answer."""
    return {
        model: {
            one.id: reply(letter)
            for one, letter in zip(questions, row, strict=True)
            if letter != "-"
        }
        for model, row in letters.items()
    }
