"""Which questions a model answers with less than the question needs: shortcuts, without any log.

CLEVRER's collision log says which questions the video alone answers. Other video sets have no log.
Here the model itself is asked, under probes that take away what an honest answer depends on:

    blind      the words alone
    frame      the video's middle frame
    shuffled   the video's frames out of order
    clause     the whole video, but the question without its "if ... is removed"

A question that stays answered is *observational* for this model, the others are *inferential*.
Every probe is asked once for each rotation of the options, and counts only if all are right: a
habit of naming one letter is right in one rotation only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from videothinker.config.settings import Probe
from videothinker.data.clevrer.prepare import without_clause
from videothinker.errors import InputError
from videothinker.evaluation.intervals import wilson
from videothinker.evaluation.scores import KINDS
from videothinker.method.answers import is_right
from videothinker.types import Label, Question


def reduced(questions: Sequence[Question], probe: Probe) -> list[Question]:
    """The questions as a probe words them; one without a clause has none to take away."""
    if probe != "clause":
        return list(questions)
    kept = []
    for question in questions:
        try:
            kept.append(replace(question, text=without_clause(question.text)))
        except InputError:
            continue
    return kept


def rotations(question: Question) -> list[Question]:
    """The question with its options at every rotation, ids ending in "#0", "#1", ..."""
    if not question.options:
        return [replace(question, id=f"{question.id}#0")]
    letters = [letter for letter, _ in question.options]
    texts = [text for _, text in question.options]
    correct = {letters.index(letter) for letter in question.answer.split(",") if letter}
    count = len(letters)
    return [
        replace(
            question,
            id=f"{question.id}#{shift}",
            options=tuple(zip(letters, texts[shift:] + texts[:shift], strict=True)),
            answer=",".join(sorted(letters[(place - shift) % count] for place in correct)),
        )
        for shift in range(count)
    ]


def answered(questions: Sequence[Question], answers: Mapping[str, str]) -> dict[str, bool]:
    """{id: every rotation was answered right}; a missing answer is a wrong one."""
    return {
        question.id: all(
            turned.id in answers and is_right(answers[turned.id], turned)
            for turned in rotations(question)
        )
        for question in questions
    }


def label(
    questions: Sequence[Question], found: Mapping[Probe, Mapping[str, bool]]
) -> list[Question]:
    """The questions under the label that the probes give them: one that succeeds is enough.

    A question that a probe was not asked about, such as one without a clause, has not passed it.
    """
    labels: dict[bool, Label] = {True: "observational", False: "inferential"}
    return [
        replace(question, category=labels[any(p.get(question.id, False) for p in found.values())])
        for question in questions
    ]


def agreement(
    questions: Sequence[Question], found: Mapping[Probe, Mapping[str, bool]]
) -> dict[str, Any] | None:
    """How the probes' labels agree with labels the questions had; None where they had none.

    kappa is Cohen's: 0 is what two unrelated labellings of these frequencies agree on by chance,
    1 is full agreement.
    """
    if not questions or not {question.category for question in questions} <= set(KINDS):
        return None
    result = {"any": _compare(questions, found)}
    for probe, passed in found.items():
        result[probe] = _compare(questions, {probe: passed})
    return result


def guessing_share(questions: Sequence[Question]) -> float:
    """Share of the questions that a uniform guess of one letter would pass by luck, each probe."""
    luck = [
        (1 / len(q.options)) ** len(q.options)
        for q in questions
        if q.options and "," not in q.answer
    ]
    return sum(luck) / len(questions) if questions else 0.0


def _compare(
    questions: Sequence[Question], found: Mapping[Probe, Mapping[str, bool]]
) -> dict[str, Any]:
    pairs = [
        (question.category, probed.category)
        for question, probed in zip(questions, label(questions, found), strict=True)
    ]
    table = {log: {probed: pairs.count((log, probed)) for probed in KINDS} for log in KINDS}
    n, same = len(pairs), sum(log == probed for log, probed in pairs)
    low, high = wilson(same, n)
    by_chance = sum(
        sum(table[kind].values()) * sum(row[kind] for row in table.values()) for kind in KINDS
    ) / (n * n)
    kappa = None if by_chance == 1 else (same / n - by_chance) / (1 - by_chance)
    return {"agree": same / n, "low": low, "high": high, "n": n, "kappa": kappa, "table": table}
