"""What the rules for right answers share; each benchmark's own stands in its file in benchmarks/.

Where a benchmark's own rule asks a paid model to judge, `settled` stands in for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from videothinker.method.answers import ANSWER
from videothinker.types import Question

Scoring = Literal["reference", "official"]
"""By the published code's rule, or by the benchmark's own."""
END = r"(?=\s*(?:$|[.):,;\]*\"\n]|'(?!\w)))"
"""What follows a letter that stands for an option: not another word, as after the article A."""
LEADING = re.compile(rf"\s*[(\[*\"'$]*([A-Z]){END}")
CONCLUDING = re.compile(
    rf"(?i:answer|option|choice)(?i:\s+is|\s+would\s+be)?\s*:?\s*[(\[*\"'$]*([A-Z]){END}"
)


def equals_solution(completion: str, question: Question) -> bool:
    """The published rule: the first answer block is character for character the solution.

    Without a block, or with an empty one, it is the whole completion that must equal it.
    """
    match = ANSWER.search(completion)
    given = match.group(1).strip() if match else ""
    return (given or completion.strip()) == question.answer


def final(completion: str) -> str:
    """What a completion ends with: its last answer block, or else what follows the thinking."""
    return last_block(completion, completion.rpartition("</think>")[2]).strip()


def last_block(completion: str, otherwise: str) -> str:
    """The last answer block, or something else where there is none."""
    blocks = ANSWER.findall(completion)
    return str(blocks[-1]).strip() if blocks else otherwise


def first_letter(completion: str, letters: str, phrases: Sequence[str]) -> str | None:
    """The first of some letters in the final answer, once phrases are taken away in their order."""
    text = final(completion)
    for phrase in phrases:
        text = text.replace(phrase, "")
    return next((letter for letter in text if letter in letters), None)


def settled(
    text: str, options: Sequence[tuple[str, str]], concluding: re.Pattern[str] = CONCLUDING
) -> str | None:
    """The one option that a text settles on, if it settles on any.

    In this order: the letter it begins with; the last letter that it concludes on, usually behind
    "answer is", "option" or the like; the option whose words it contains first, and of two in one
    place the longer one.
    """
    known = {letter for letter, _ in options}
    leading = LEADING.match(text)
    if leading and leading[1] in known:
        return leading[1]
    letters = [match[match.lastindex or 0] for match in concluding.finditer(text)]
    if concluded := [letter for letter in letters if letter in known]:
        return concluded[-1]
    said, found = _plain(text), []
    for letter, option in options:
        words = _plain(option)
        match = re.search(rf"(?<!\w){re.escape(words)}(?!\w)", said) if words else None
        if match:
            found.append((match.start(), -len(words), letter))
    return min(found)[2] if found else None


def _plain(text: str) -> str:
    return " ".join(text.lower().strip(" .,;:!\n").split())
