"""Benchmarks: their questions, their scores, and how sure a score is.

Every accuracy here counts questions, right or wrong, so that its Wilson interval holds; where a
number may come near (VSI-Bench) a question counts in part, and the interval is if anything too
wide. The rules are in `benchmarks/`, their sources and deviations in docs/benchmarks.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import BY_NAME, named
from videothinker.evaluation.benchmarks.clevrer import judged
from videothinker.evaluation.benchmarks.loading import load, read
from videothinker.evaluation.benchmarks.records import SEVERAL
from videothinker.evaluation.intervals import Marked, counted, mean_of_shares, per_option, share
from videothinker.evaluation.rules import Scoring, equals_solution
from videothinker.method.answers import is_right
from videothinker.method.rewards import layout
from videothinker.types import LABELS, Question, Wording

__all__ = ["BENCHMARKS", "KINDS", "diagnose", "load", "read", "score"]

BENCHMARKS = tuple(BY_NAME)
"""Their names; everything else about them stands in the table."""
KINDS = LABELS


def score(
    benchmark: str,
    questions: Sequence[Question],
    completions: Sequence[str],
    scoring: Scoring = "reference",
) -> dict[str, Any]:
    """The share of questions answered right, whole and by category, beside what guessing gives.

    reference: the first answer block, or the whole completion where there is none or it is empty,
        is character for character the solution: "C,A" and "A, C" are wrong where "A,C" is right.
        Questions without a correct option, which the published code drops, are not counted.
    official: the benchmark's own rule. For CLEVRER every option of the question must be judged
        right, and "per_option" counts them one by one; MVBench, TempCompass and others are means
        over their tasks, whose number is in "tasks", and "over_questions" is the share of all;
        "without" has TempCompass's mean without captioning.

    Every accuracy has low and high (95%), n, chance and majority beside it. Where a category is
    written "a/b", by_category holds the a and by_subcategory the a/b; a question of "a + b" counts
    in both.
    """
    kind = named(benchmark)
    marked = [one for one in marks(benchmark, questions, completions, scoring) if one is not None]
    groups = _grouped(marked, lambda question: _first(question.category).split(SEVERAL))
    finer = _grouped(marked, lambda question: question.category.split(SEVERAL))
    by_task = scoring == "official" and kind.mean_of_tasks
    by_part = by_task and kind.mean_of_parts
    parts = {
        task: {name: group for name, group in finer.items() if by_part and _first(name) == task}
        for task in groups
    }
    result: dict[str, Any] = {"benchmark": benchmark, "scoring": scoring}
    if by_part:
        result |= mean_of_shares(finer, {name: 1 / len(parts[_first(name)]) for name in finer})
    else:
        result |= mean_of_shares(groups) if by_task else share(marked)
    result["by_category"] = {
        name: mean_of_shares(parts[name]) if len(parts[name]) > 1 else share(group)
        for name, group in groups.items()
    }
    if any("/" in question.category for question, _ in marked):
        result["by_subcategory"] = {name: share(group) for name, group in finer.items()}
    if by_task:
        result["tasks"] = len(groups)
        result["over_questions"] = share(marked)
    if by_task and kind.judged in groups:
        told = {task: group for task, group in groups.items() if task != kind.judged}
        result["without"] = {kind.judged: mean_of_shares(told)}
    if benchmark == "clevrer":
        result["without_correct_option"] = sum(not question.answer for question in questions)
        if scoring == "official":
            result["per_option"] = per_option(
                [one for q, c in zip(questions, completions, strict=True) for one in judged(c, q)]
            )
    return result


def marks(
    benchmark: str,
    questions: Sequence[Question],
    completions: Sequence[str],
    scoring: Scoring,
) -> list[tuple[Question, float] | None]:
    """Each question with whether it was answered right, or its share of right; None where it is not
    counted."""
    rules: dict[str, Callable[[str, Question], float]]
    rules = {"reference": equals_solution, "official": named(benchmark).rule}
    if scoring not in rules:
        raise InputError(f"scoring: {scoring!r} is neither 'reference' nor 'official'.")
    _check_lengths(questions, completions)
    return [
        (question, rules[scoring](completion, question))
        if question.answer or scoring == "official"
        else None
        for question, completion in zip(questions, completions, strict=True)
    ]


def diagnose(questions: Sequence[Question], completions: Sequence[str]) -> dict[str, Any]:
    """Observational, inferential and overall accuracy with 95% intervals, and the shortcut gap.

    A question counts as right when exactly its correct letters are named, or what else its kind of
    answer demands (`method/answers.py`); questions without a correct option, which have no kind,
    are not counted. "format" is the share of completions with the asked layout. The gap is
    observational minus inferential accuracy: how much better the model does where the video alone
    gives the answer. It is None where one of the two kinds is missing. Where answers are of several
    kinds, or questions of other categories than those two, "by_kind" and "by_category" have each.
    """
    _check_lengths(questions, completions)
    marked = [
        (question, is_right(completion, question))
        for question, completion in zip(questions, completions, strict=True)
        if question.answer
    ]
    result: dict[str, Any] = {
        kind: counted([right for question, right in marked if question.category == kind], "mean")
        for kind in KINDS
    }
    result["overall"] = counted([right for _, right in marked], "mean")
    pairs = zip(completions, questions, strict=True)
    result["format"] = counted([layout(c, question) == 1.0 for c, question in pairs], "mean")
    means = [result[kind]["mean"] for kind in KINDS]
    result["shortcut_gap"] = None if None in means else means[0] - means[1]
    kinds = _grouped(marked, lambda question: [question.kind])
    categories = _grouped(marked, lambda question: [question.category or "none"])
    if len(kinds) > 1:
        result["by_kind"] = _means(kinds)
    if {*categories} - {*KINDS, "none"}:
        result["by_category"] = _means(categories)
    return result


def diagnose_each(
    wordings: Sequence[Wording], questions: Sequence[Question], said: Mapping[Question, str]
) -> dict[str, Any]:
    """As `diagnose`, of the questions in the first of the wordings, and beside it, by their names,
    of those in the others. What was not answered counts as wrong."""
    found = {}
    for wording in wordings:
        some = [question for question in questions if question.wording == wording]
        found[wording] = diagnose(some, [said.get(question, "") for question in some])
    return found[wordings[0]] | {wording: found[wording] for wording in wordings[1:]}


def _means(groups: Mapping[str, Marked]) -> dict[str, dict[str, Any]]:
    return {
        name: counted([right for _, right in marked], "mean") for name, marked in groups.items()
    }


def _first(category: str) -> str:
    return category.split("/")[0]


def _grouped(
    marked: Marked, keys: Callable[[Question], Sequence[str]]
) -> dict[str, list[tuple[Question, float]]]:
    groups = defaultdict(list)
    for question, right in marked:
        for key in keys(question):
            groups[key].append((question, right))
    return dict(sorted(groups.items()))


def _check_lengths(questions: Sequence[Question], completions: Sequence[str]) -> None:
    if len(questions) != len(completions):
        raise InputError(
            f"completions: {len(completions)} for {len(questions)} questions. Give one for each, "
            "in the same order."
        )
