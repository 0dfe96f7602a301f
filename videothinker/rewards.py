"""What a completion earns: partial credit for correct letters, and credit for the asked layout.

The semantics are the reference's, quirks included, because its published numbers were trained on
them. A quirk that matters is named at the function that has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from videothinker.errors import InputError

ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
LAYOUT = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>[\s!]*$", re.DOTALL)


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


def _format_only(completion: str, solution: str) -> float:
    del solution  # every reward is called alike; the layout does not depend on what is right
    return format_reward(completion)


REWARDS: dict[str, Callable[[str, str], float]] = {
    "soft_accuracy": soft_accuracy,
    "format": _format_only,
}
"""Name in the configuration -> function of (completion, solution)."""


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
