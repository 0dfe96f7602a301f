"""How a model answers, beside right or wrong: how long, thinking or not, what it takes for what."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median
from typing import Any

from videothinker.evaluation.benchmarks import named
from videothinker.evaluation.intervals import counted
from videothinker.method.answers import THINKING
from videothinker.types import Question

WORST = 3
"""Confusions that are told."""
EXAMPLES = 3
"""Questions that are named of each."""
REPEATED = 3
"""As often as the same two texts must be confused to be told in place of letters."""


def lengths(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the lines of answers.jsonl: tokens of an answer, and the shares that were cut off at the
    longest allowed, and that think before they answer."""
    tokens = [line["tokens"] for line in lines if "tokens" in line]
    thinking = [_thinks(line["completion"]) for line in lines]
    return {
        "tokens": {
            "mean": fmean(tokens) if tokens else None,
            "median": median(tokens) if tokens else None,
            "most": max(tokens, default=None),
        },
        "cut_off": counted([line["cut_off"] for line in lines if "cut_off" in line], "mean"),
        "thinking": counted(thinking, "mean"),
    }


def confusions(
    benchmark: str, questions: Sequence[Question], answers: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The options most often taken for others, by the benchmark's own rule: by their texts where
    these come again, as yes and no do, else by their letters."""
    taken = []
    for question in questions:
        said = _said(benchmark, question, answers.get(question.id, ""))
        if said is not None and said != question.answer:
            taken.append((question, said))
    by_text = _most(taken, lambda question, letter: dict(question.options)[letter].strip())
    if by_text and by_text[0]["n"] >= REPEATED:
        return by_text
    return _most(taken, lambda question, letter: letter)


def _thinks(completion: str) -> bool:
    found = THINKING.search(completion)
    return found is not None and bool(found[1].strip())


def _said(benchmark: str, question: Question, completion: str) -> str | None:
    """The one letter that a completion would be right with."""
    letters = [letter for letter, _ in question.options]
    if question.answer not in letters:
        return None
    rule = named(benchmark).rule
    fitting = [x for x in letters if rule(completion, replace(question, answer=x)) == 1]
    return fitting[0] if len(fitting) == 1 else None


def _most(taken: Sequence[tuple[Question, str]], name: Any) -> list[dict[str, Any]]:
    examples = defaultdict(list)
    for question, said in taken:
        examples[name(question, question.answer), name(question, said)].append(question.id)
    counts = Counter({pair: len(ids) for pair, ids in examples.items()})
    return [
        {"right": right, "said": said, "n": n, "questions": examples[right, said][:EXAMPLES]}
        for (right, said), n in counts.most_common(WORST)
    ]
