"""Benchmarks: their questions, their scores, and how sure a score is.

Every accuracy here counts whole questions, right or wrong, so that its Wilson interval holds.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from videothinker.data.store import read_questions
from videothinker.errors import InputError, NotBuilt
from videothinker.rewards import format_reward, soft_accuracy
from videothinker.types import Question

Scoring = Literal["reference", "official"]

BENCHMARKS = ("clevrer", "mmvu", "video-holmes", "mvbench", "tempcompass", "videomme")
BUILT = ("clevrer",)
KINDS = ("observational", "inferential")
Z_95 = 1.959963984540054
"""The normal quantile of a two-sided 95% interval."""

TRIMMED_ANSWER = re.compile(r"<answer>\s*(.*?)\s*</answer>", re.DOTALL)


def load(benchmark: str, path: Path | str) -> list[Question]:
    """The questions of a benchmark's file."""
    _check(benchmark)
    path = Path(path)
    if path.is_dir() or path.suffix in (".json", ".jsonl"):
        raise InputError(
            f"{path}: clevrer is evaluated on prepared questions. Run `videothinker prepare "
            "clevrer --questions FILE --annotations DIR --videos DIR --out DIR` and give "
            "DIR/questions.parquet."
        )
    return read_questions(path)


def score(
    benchmark: str,
    questions: Sequence[Question],
    completions: Sequence[str],
    scoring: Scoring = "reference",
) -> dict[str, Any]:
    """The share of questions answered right, whole and by category.

    reference: the first answer block, or the whole completion where there is none or it is empty,
        is character for character the solution: "C,A" and "A, C" are wrong where "A,C" is right.
    official: every option of the question is judged right, whatever order and spaces the letters
        were written with. CLEVRER's own figure also covers questions without a correct option,
        which `prepare` leaves out.
    """
    _check(benchmark)
    rules: dict[str, Callable[[str, str], bool]] = {
        "reference": _equals_solution,
        "official": _names_the_set,
    }
    if scoring not in rules:
        raise InputError(f"scoring: {scoring!r} is neither 'reference' nor 'official'.")
    _check_lengths(questions, completions)
    right = [
        rules[scoring](completion, question.answer)
        for question, completion in zip(questions, completions, strict=True)
    ]
    categories = sorted({question.category for question in questions})
    by_category = {
        category: _share(
            [r for q, r in zip(questions, right, strict=True) if q.category == category]
        )
        for category in categories
    }
    return {
        "benchmark": benchmark,
        "scoring": scoring,
        **_share(right),
        "by_category": by_category,
    }


def diagnose(questions: Sequence[Question], completions: Sequence[str]) -> dict[str, Any]:
    """Observational, inferential and overall accuracy with 95% intervals, and the shortcut gap.

    A question counts as right when exactly its correct letters are named (the training reward is
    1). "format" is the share of completions with the asked layout. The gap is observational minus
    inferential accuracy: how much better the model does where the video alone gives the answer.
    It is None where one of the two kinds is missing.
    """
    _check_lengths(questions, completions)
    pairs = list(zip(questions, completions, strict=True))
    result: dict[str, Any] = {
        kind: _estimate([_names_the_set(c, q.answer) for q, c in pairs if q.category == kind])
        for kind in KINDS
    }
    result["overall"] = _estimate([_names_the_set(c, q.answer) for q, c in pairs])
    result["format"] = _estimate([format_reward(completion) == 1.0 for completion in completions])
    means = [result[kind]["mean"] for kind in KINDS]
    result["shortcut_gap"] = None if None in means else means[0] - means[1]
    return result


def wilson(correct: int, n: int) -> tuple[float, float]:
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


def _equals_solution(completion: str, answer: str) -> bool:
    match = TRIMMED_ANSWER.search(completion)
    given = match.group(1) if match else ""
    return (given or completion).strip() == answer


def _names_the_set(completion: str, answer: str) -> bool:
    return soft_accuracy(completion, answer) == 1.0


def _share(right: Sequence[bool]) -> dict[str, Any]:
    low, high = wilson(sum(right), len(right))
    return {
        "accuracy": sum(right) / len(right) if right else None,
        "low": low,
        "high": high,
        "n": len(right),
    }


def _estimate(right: Sequence[bool]) -> dict[str, Any]:
    share = _share(right)
    return {"mean": share["accuracy"], "low": share["low"], "high": share["high"], "n": share["n"]}


def _check(benchmark: str) -> None:
    if benchmark not in BENCHMARKS:
        near = difflib.get_close_matches(benchmark, BENCHMARKS, n=1, cutoff=0.0)[0]
        raise InputError(
            f"benchmark: {benchmark!r} is not known. Did you mean {near!r}? "
            f"Known: {', '.join(BENCHMARKS)}."
        )
    if benchmark not in BUILT:
        raise NotBuilt(
            f"benchmark {benchmark!r} is not built yet in this version; use {', '.join(BUILT)}."
        )


def _check_lengths(questions: Sequence[Question], completions: Sequence[str]) -> None:
    if len(questions) != len(completions):
        raise InputError(
            f"completions: {len(completions)} for {len(questions)} questions. Give one for each, "
            "in the same order."
        )
