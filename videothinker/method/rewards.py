"""What a completion earns: credit for correct letters, and credit for the asked layout.

soft_accuracy and format have the reference's semantics, quirks included, because its published
numbers were trained on them. strict_accuracy and strict_format close its known loopholes: they pay
in full or not at all, and never where the reference pays nothing. docs/rewards.md compares them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from videothinker.errors import InputError

ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
LAYOUT = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>[\s!]*$", re.DOTALL)
STRICT_LAYOUT = re.compile(r"\s*<think>(.*)</think>\s*<answer>(.*)</answer>\s*", re.DOTALL)
TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def answer_text(text: str) -> str:
    """The content of the first <answer> block; the whole text where there is none."""
    match = ANSWER.search(text)
    return (match.group(1) if match else text).strip()


def letters(text: str) -> frozenset[str]:
    """The set of letters that a completion or a solution names.

    An empty text is the set that holds the empty string: that makes "A," wrong, and an empty
    answer to an empty solution right.
    """
    parts = answer_text(text).replace(" ", "").split(",")
    return frozenset(part.strip() for part in parts)


def soft_accuracy(completion: str, solution: str) -> float:
    """The share of the correct letters that were named; 0 as soon as one named letter is wrong.

    Omission costs nothing beyond the share, so with three correct letters a single sure one earns
    a third. Without tags the whole completion is read as the answer. Letters count exactly as
    written: "a", "(A)" and "A." are wrong.

    The reference first asks the math_verify library whether completion and solution are the same
    formula. That is left out: a solution made of letters contains no formula, so it never says
    yes, and only solutions with numbers or LaTeX could tell the difference.
    """
    named, correct = letters(completion), letters(solution)
    return len(named) / len(correct) if named <= correct else 0.0


def format_reward(completion: str) -> float:
    """1 for a thinking block directly followed by an answer block that ends the completion.

    Lenient where the reference is: text before the first tag, empty blocks, and exclamation marks
    or white space at the end all pass, and so do words after </answer> if a further </answer>
    closes them.
    """
    if completion.count("<think>") > 1 or completion.count("<answer>") > 1:
        return 0.0
    return float(LAYOUT.search(completion.strip()) is not None)


def strict_accuracy(completion: str, solution: str) -> float:
    """1 if the completion has exactly one answer block and it names exactly the correct letters.

    Nothing for a part of them, for letters outside of tags, or for an empty answer, which cannot be
    told from none. Letters are read as soft_accuracy reads them: order, repetitions and spaces do
    not matter; case, brackets and dots do, as they do where benchmarks compare strings.
    """
    if completion.count("<answer>") != 1 or completion.count("</answer>") != 1:
        return 0.0
    named = letters(completion)
    return float(named == letters(solution) and "" not in named)


def strict_format(completion: str) -> float:
    """1 if the completion is a thinking block, then an answer block, and nothing else.

    Each occurs once and holds more than white space; only white space stands around them.
    """
    if any(completion.count(tag) != 1 for tag in TAGS):
        return 0.0
    match = STRICT_LAYOUT.fullmatch(completion)
    return float(match is not None and all(block.strip() for block in match.groups()))


def _of_layout(reward: Callable[[str], float]) -> Callable[[str, str], float]:
    """Every reward is called alike; the layout does not depend on what is right."""
    return lambda completion, _solution: reward(completion)


REWARDS: dict[str, Callable[[str, str], float]] = {
    "soft_accuracy": soft_accuracy,
    "format": _of_layout(format_reward),
    "strict_accuracy": strict_accuracy,
    "strict_format": _of_layout(strict_format),
}
"""Name in the configuration -> function of (completion, solution); the names are `RewardName` in
config/settings.py, those that pay for the answer `RIGHTNESS` beside it."""


def score(names: Sequence[str], completions: Sequence[str], solution: str) -> dict[str, np.ndarray]:
    """Each named reward of G completions of one question: {name: [G] float32}."""
    unknown = [name for name in names if name not in REWARDS]
    if unknown:
        raise InputError(
            f"rewards: {unknown[0]!r} is not a reward. Use one of {', '.join(REWARDS)}."
        )
    return {
        name: np.array([REWARDS[name](text, solution) for text in completions], dtype=np.float32)
        for name in names
    }
