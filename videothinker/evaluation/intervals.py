"""A share of right answers, how sure it is, and what guessing would have given."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from videothinker.types import Question

Z_95 = 1.959963984540054
"""The normal quantile of a two-sided 95% interval."""

Marked = Sequence[tuple[Question, bool]]
"""Questions and whether each was answered right."""


def wilson(correct: float, n: float) -> tuple[float, float]:
    """The 95% Wilson interval of a share; (0, 1) when nothing was counted.

    Unlike mean +- 1.96 standard errors it stays inside [0, 1] and is honest at 0% and 100%, where
    a small model on a small set often is.
    """
    if n == 0:
        return 0.0, 1.0
    mean, z2 = correct / n, Z_95**2
    centre = (mean + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(mean * (1 - mean) / n + z2 / (4 * n * n))
    low = 0.0 if correct == 0 else centre - half
    high = 1.0 if correct == n else centre + half
    return low, high


def counted(right: Sequence[bool], name: str = "accuracy") -> dict[str, Any]:
    """A share, under the name it is to have, with its interval; None where nothing was counted."""
    correct, n = sum(right), len(right)
    low, high = wilson(correct, n)
    return {name: correct / n if n else None, "low": low, "high": high, "n": n}


def share(marked: Marked) -> dict[str, Any]:
    """Accuracy over all questions alike, its interval and its baselines."""
    questions = [[question for question, _ in marked]]
    return counted([right for _, right in marked]) | {
        "chance": chance(questions),
        "majority": majority(questions),
    }


def mean_of_shares(groups: Mapping[str, Marked]) -> dict[str, Any]:
    """The mean of the groups' accuracies, with the interval of a stratified sample.

    The interval is Wilson's with as many questions as would give a plain share the same variance.
    That variance counts one more right and one more wrong answer in every group, or groups
    answered entirely right or wrong would pass for certain.
    """
    counts = [(sum(right for _, right in group), len(group)) for group in groups.values()]
    k = len(counts)
    if not k:
        return share([])
    mean = fmean(correct / n for correct, n in counts)
    smoothed = [(correct + 1) / (n + 2) for correct, n in counts]
    variance = sum(p * (1 - p) / n for p, (_, n) in zip(smoothed, counts, strict=True)) / k**2
    centre = fmean(smoothed)
    effective = centre * (1 - centre) / variance
    low, high = wilson(mean * effective, effective)
    questions = [[question for question, _ in group] for group in groups.values()]
    return {
        "accuracy": mean,
        "low": 0.0 if mean == 0 else low,
        "high": 1.0 if mean == 1 else high,
        "n": sum(n for _, n in counts),
        "chance": chance(questions),
        "majority": majority(questions),
    }


def per_option(judged: Sequence[tuple[bool, bool]]) -> dict[str, Any]:
    """Accuracy over options; each is (is a correct answer, was judged right)."""
    n, positive = len(judged), sum(is_correct for is_correct, _ in judged)
    return counted([right for _, right in judged]) | {
        "chance": 0.5 if n else None,
        "majority": max(positive, n - positive) / n if n else None,
    }


def chance(groups: Sequence[Sequence[Question]]) -> float | None:
    """The expected score of blind guessing, a mean over groups of means over questions.

    The better of two guessers: one letter drawn evenly from a question's options, or a fair coin
    for every option. Where each question has one correct letter it is the first that counts; where
    several letters or none may be correct it can be the second.
    """
    letter = [[_one_letter(question) for question in group] for group in groups]
    coins = [[0.5 ** len(question.options) for question in group] for group in groups]
    if not any(groups):
        return None
    return max(_mean_of_means(letter), _mean_of_means(coins))


def majority(groups: Sequence[Sequence[Question]]) -> float | None:
    """What the best constant answer to these very questions scores, a mean over groups.

    It is picked knowing the solutions, so it is a bound for answering without looking, not a rival.
    """
    if not any(groups):
        return None
    answers = Counter(question.answer for group in groups for question in group)
    return max(
        _mean_of_means([[float(question.answer == answer) for question in g] for g in groups])
        for answer in answers
    )


def _one_letter(question: Question) -> float:
    single = len(question.answer.split(",")) == 1 and question.answer != ""
    return 1 / len(question.options) if single and question.options else 0.0


def _mean_of_means(groups: Sequence[Sequence[float]]) -> float:
    return fmean(fmean(group) for group in groups)


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[float, float, float]:
    """Second minus first share with a 95% interval (Newcombe), as if of independent samples.

    Both models answered the same questions, so the interval is wider than it needs to be; the
    answers themselves, which would allow a paired one, are not in the summary.
    """
    gap = second["mean"] - first["mean"]
    below = math.hypot(second["mean"] - second["low"], first["high"] - first["mean"])
    above = math.hypot(second["high"] - second["mean"], first["mean"] - first["low"])
    return gap, gap - below, gap + above
