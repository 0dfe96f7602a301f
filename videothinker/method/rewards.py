"""What a completion earns: credit for correct letters, and credit for the asked layout.

soft_accuracy and format have the reference's semantics, quirks included, because its published
numbers were trained on them. strict_accuracy and strict_format close its known loopholes: they pay
in full or not at all, and never where the reference pays nothing. docs/rewards.md compares them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from videothinker.method.answers import answer_text, credit, letters
from videothinker.types import Question

LAYOUT = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>[\s!]*$", re.DOTALL)
DIRECT_LAYOUT = re.compile(r"<answer>(.*)</answer>", re.DOTALL)
STRICT_LAYOUT = re.compile(r"\s*<think>(.*)</think>\s*<answer>(.*)</answer>\s*", re.DOTALL)
TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def soft_accuracy(completion: str, solution: str) -> float:
    """The share of the correct letters that were named; 0 as soon as one named letter is wrong.

    Omission costs nothing beyond the share, so with three correct letters a single sure one earns
    a third. Without tags the whole completion is read as the answer. Letters count exactly as
    written: "a", "(A)" and "A." are wrong.

    The reference first asks the math_verify library whether completion and solution are the same
    formula. That is left out: a solution made of letters contains no formula, so it never says
    yes, and only solutions with numbers or LaTeX could tell the difference.
    """
    named, correct = letters(answer_text(completion)), letters(answer_text(solution))
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
    named = letters(answer_text(completion))
    return float(named == letters(answer_text(solution)) and "" not in named)


def strict_format(completion: str) -> float:
    """1 if the completion is a thinking block, then an answer block, and nothing else.

    Each occurs once and holds more than white space; only white space stands around them.
    """
    if any(completion.count(tag) != 1 for tag in TAGS):
        return 0.0
    match = STRICT_LAYOUT.fullmatch(completion)
    return float(match is not None and all(block.strip() for block in match.groups()))


def direct_format(completion: str) -> float:
    """1 for an answer block and nothing else but white space: what the direct wording asks for.

    Ours, as that wording is, so there is no lenient one beside it.
    """
    if any(completion.count(tag) != ("answer" in tag) for tag in TAGS):
        return 0.0
    match = DIRECT_LAYOUT.fullmatch(completion.strip())
    return float(match is not None and bool(match.group(1).strip()))


def layout(completion: str, question: Question) -> float:
    """Whether a completion has the layout that its question was asked to be answered in."""
    if question.wording == "direct":
        return direct_format(completion)
    return format_reward(completion)


def strict_layout(completion: str, question: Question) -> float:
    """Likewise, without the published one's loopholes."""
    if question.wording == "direct":
        return direct_format(completion)
    return strict_format(completion)


Reward = Callable[[str, Question], float]
"""What a completion earns as an answer to a question."""
REWARDS: dict[str, Reward] = {
    "accuracy": credit,
    "soft_accuracy": lambda completion, question: soft_accuracy(completion, question.answer),
    "strict_accuracy": lambda completion, question: strict_accuracy(completion, question.answer),
    "format": layout,
    "strict_format": strict_layout,
}
"""By name in the configuration; the names are `RewardName` in config/rewards.py, those that pay
for the answer `RIGHTNESS` beside it."""
