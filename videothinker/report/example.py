"""One question and what every model of a run said to it, as a few lines for a terminal."""

from __future__ import annotations

from pathlib import Path

from videothinker.errors import InputError
from videothinker.report.outcomes import Asked, Outcome, outcomes, parts, read_asked
from videothinker.report.results import NEEDS
from videothinker.status.snapshot import read_snapshot
from videothinker.terminal_text import clip, columns, visible
from videothinker.types import Question

WIDTH = 120
"""Columns of a line."""


def example(run: Path) -> str:
    """The first question of the commonest outcome on which the models differ, inferential where
    there are such; empty where no answers are kept, or no models differ.
    """
    try:
        asked = read_asked(read_snapshot(run))
    except InputError:  # an example is no result: what ends with it has not failed without it
        return ""
    ranked = next(iter(outcomes(asked).values())) if asked else []
    outcome = next((one for one in ranked if not one.agreed), None)
    return "" if asked is None or outcome is None else _told(asked, outcome)


def _told(asked: Asked, outcome: Outcome) -> str:
    question = outcome.questions[0]
    by_reply: dict[str, list[str]] = {}
    for model in asked.said:
        by_reply.setdefault(_reply(asked, model, question), []).append(model)
    names = {reply: visible(", ".join(models)) for reply, models in by_reply.items()}
    width = max(map(columns, names.values()))
    answers = [
        f"  {name}{' ' * (width - columns(name))}  {visible(reply)}"
        for reply, name in names.items()
    ]
    which = f"questions that {NEEDS[outcome.kind]}" if outcome.kind in NEEDS else "questions"
    lines = [
        f"The models' commonest difference, {outcome.share} of the {which}:",
        visible(f"{question.text} Right: {_solution(question)}"),
        *answers,
    ]
    return "\n".join(clip(line, WIDTH) for line in lines)


def _reply(asked: Asked, model: str, question: Question) -> str:
    """What a model said, after whether that is right."""
    thinking, answer = parts(asked.said[model].get(question.id, ""))
    verdict = "right" if asked.right(model, question) else "wrong"
    return f"{verdict}, {answer}: {thinking}" if thinking else f"{verdict}: {answer or '-'}"


def _solution(question: Question) -> str:
    correct = question.answer.split(",")
    return "; ".join(f"{letter}. {text}" for letter, text in question.options if letter in correct)
