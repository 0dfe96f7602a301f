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

Marked = Sequence[tuple[Question, float]]
"""Questions and whether each was answered right, or what share of right its answer is worth."""


def wilson(correct: float, n: float) -> tuple[float, float]:
    """The 95% Wilson interval of a share; (0, 1) when nothing was counted.

    Unlike mean +- 1.96 standard errors it stays inside [0, 1] and is honest at 0% and 100%, where
    a small model on a small set often is. `correct` may be a sum of shares between 0 and 1: these
    vary no more than right and wrong answers of the same mean, so it is then at most too wide.
    """
    if n == 0:
        return 0.0, 1.0
    mean, z2 = correct / n, Z_95**2
    centre = (mean + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(mean * (1 - mean) / n + z2 / (4 * n * n))
    low = 0.0 if correct == 0 else centre - half
    high = 1.0 if correct == n else centre + half
    return low, high


def counted(right: Sequence[float], name: str = "accuracy") -> dict[str, Any]:
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


def mean_of_shares(
    groups: Mapping[str, Marked], weights: Mapping[str, float] = {}
) -> dict[str, Any]:
    """The mean of the groups' accuracies, with the interval of a stratified sample.

    weights: by group, where it is not 1.
    The interval is Wilson's with as many questions as would give a plain share the same variance.
    That variance counts one more right and one more wrong answer in every group, or groups
    answered entirely right or wrong would pass for certain.
    """
    counts = [(sum(right for _, right in group), len(group)) for group in groups.values()]
    if not counts:
        return share([])
    parts = [weights.get(name, 1.0) for name in groups]
    mean = fmean([correct / n for correct, n in counts], parts)
    smoothed = [(correct + 1) / (n + 2) for correct, n in counts]
    variance = (
        sum(w * w * p * (1 - p) / n for w, p, (_, n) in zip(parts, smoothed, counts, strict=True))
        / sum(parts) ** 2
    )
    centre = fmean(smoothed, parts)
    effective = centre * (1 - centre) / variance
    low, high = wilson(mean * effective, effective)
    questions = [[question for question, _ in group] for group in groups.values()]
    return {
        "accuracy": mean,
        "low": 0.0 if mean == 0 else low,
        "high": 1.0 if mean == 1 else high,
        "n": sum(n for _, n in counts),
        "chance": chance(questions, parts),
        "majority": majority(questions, parts),
    }


def per_option(judged: Sequence[tuple[bool, bool]]) -> dict[str, Any]:
    """Accuracy over options; each is (is a correct answer, was judged right)."""
    n, positive = len(judged), sum(is_correct for is_correct, _ in judged)
    return counted([right for _, right in judged]) | {
        "chance": 0.5 if n else None,
        "majority": max(positive, n - positive) / n if n else None,
    }


def chance(
    groups: Sequence[Sequence[Question]], weights: Sequence[float] | None = None
) -> float | None:
    """The expected score of blind guessing, a mean over groups of means over questions.

    None where a number is asked for: an answer that comes near it counts in part, so that what a
    guess is worth depends on what is guessed.

    The better of two guessers: one letter drawn evenly from a question's options, or a fair coin
    for every option. Where each question has one correct letter it is the first that counts; where
    several letters or none may be correct it can be the second. A text is guessed by nobody.
    """
    if not any(groups) or _numbers(groups):
        return None
    letter = [[_one_letter(question) for question in group] for group in groups]
    coins = [[0.5 ** len(q.options) if q.options else 0.0 for q in group] for group in groups]
    return max(_mean_of_means(letter, weights), _mean_of_means(coins, weights))


def majority(
    groups: Sequence[Sequence[Question]], weights: Sequence[float] | None = None
) -> float | None:
    """What the best constant answer to these very questions scores, a mean over groups.

    None where a number is asked for, as with chance.
    It is picked knowing the solutions, so it is a bound for answering without looking, not a rival.
    """
    if not any(groups) or _numbers(groups):
        return None
    answers = Counter(question.answer for group in groups for question in group)
    return max(
        _mean_of_means(
            [[float(question.answer == answer) for question in g] for g in groups], weights
        )
        for answer in answers
    )


def _one_letter(question: Question) -> float:
    single = len(question.answer.split(",")) == 1 and question.answer != ""
    return 1 / len(question.options) if single and question.options else 0.0


def _numbers(groups: Sequence[Sequence[Question]]) -> bool:
    return any(question.kind == "number" for group in groups for question in group)


def _mean_of_means(groups: Sequence[Sequence[float]], weights: Sequence[float] | None) -> float:
    return fmean([fmean(group) for group in groups], weights)


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[float, float, float]:
    """Second minus first share with a 95% interval (Newcombe), as if of independent samples.

    Both models answered the same questions, so the interval is wider than it needs to be; the
    answers themselves, which would allow a paired one, are not in the summary.
    """
    gap = second["mean"] - first["mean"]
    below = math.hypot(second["mean"] - second["low"], first["high"] - first["mean"])
    above = math.hypot(second["high"] - second["mean"], first["mean"] - first["low"])
    return gap, gap - below, gap + above


def paired(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Second minus first of two models on the same questions, with a 95% interval (Agresti and
    Min's: one question more that was gained and one that was lost, of which each counts half), and
    the exact McNemar test of as many lost as gained."""
    changes = [after - before for before, after in zip(first, second, strict=True)]
    n, gained, lost = len(changes), sum(x > 0 for x in changes), sum(x < 0 for x in changes)
    if not n:
        return {
            "difference": None,
            "low": -1.0,
            "high": 1.0,
            "n": 0,
            "gained": 0,
            "lost": 0,
            "p": 1.0,
        }
    total, squares = sum(changes), sum(x * x for x in changes) + 1
    centre = total / (n + 2)
    half = Z_95 * math.sqrt(squares - total**2 / (n + 2)) / (n + 2)
    return {
        "difference": total / n if n else 0.0,
        "low": max(-1.0, centre - half),
        "high": min(1.0, centre + half),
        "n": n,
        "gained": gained,
        "lost": lost,
        "p": _even_chance(gained, lost),
    }


def _even_chance(gained: int, lost: int) -> float:
    """Two-sided: how likely a fair coin is to fall so unevenly."""
    tosses, fewer = gained + lost, min(gained, lost)
    tail = sum(math.comb(tosses, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << tosses))
