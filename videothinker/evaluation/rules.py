"""Whether a completion is right: as the published code decides it, and as each benchmark does.

Where a benchmark's own rule asks a paid model to judge, `settled` stands in for it.
docs/benchmarks.md has each rule's source and every deviation.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from videothinker.evaluation.benchmarks.choices import LETTERED, Options
from videothinker.method.rewards import ANSWER
from videothinker.types import Question

END = r"(?=\s*(?:$|[.):,;\]*\"\n]|'(?!\w)))"
"""What follows a letter that stands for an option: not another word, as after the article A."""
LEADING = re.compile(rf"\s*[(\[*\"'$]*([A-Z]){END}")
CONCLUDING = re.compile(
    rf"(?i:answer|option|choice)(?i:\s+is|\s+would\s+be)?\s*:?\s*[(\[*\"'$]*([A-Z]){END}"
)
LISTED = re.compile(r"[\s(\[]*[A-Z][\s)\].:]*(?:(?:[,;&\s]|\band\b)[\s(\[]*[A-Z][\s)\].:]*)*")
NONE = re.compile(r"(?i)\s*(none|no option|none of (the|these)( \w+)?)?[\s.]*")
MATCHING_NAME = re.compile(r"(?i:option|sentence|caption)\s*([AB12])\b")
VIDEOMME_PREFIXES = re.compile(
    r"The (best|correct) (answer|option) is|The answer is|The answer|"
    r"(Best |Correct )?(answer|option):",
    re.IGNORECASE,
)


def equals_solution(completion: str, question: Question) -> bool:
    """The published rule: the first answer block is character for character the solution.

    Without a block, or with an empty one, it is the whole completion that must equal it.
    """
    match = ANSWER.search(completion)
    given = match.group(1).strip() if match else ""
    return (given or completion.strip()) == question.answer


def named_set(completion: str, question: Question) -> frozenset[str] | None:
    """CLEVRER: the options judged correct; None where the completion cannot be read.

    The first answer block, or a completion without one: letters with commas, spaces or "and"
    between them, or options written out with their letters, one a line. An empty block, or "none",
    judges every option wrong.
    """
    match = ANSWER.search(completion)
    text = match.group(1) if match else completion
    if NONE.fullmatch(text) and (match or text.strip()):
        return frozenset()
    if LISTED.fullmatch(" ".join(text.split())):
        return frozenset(re.findall("[A-Z]", text))
    lines = [LETTERED.fullmatch(line) for line in text.strip().split("\n") if line.strip()]
    named = [line[1] for line in lines if line]
    return frozenset(named) if named and len(named) == len(lines) else None


def clevrer(completion: str, question: Question) -> bool:
    """Every option of the question is judged right."""
    return named_set(completion, question) == frozenset(filter(None, question.answer.split(",")))


def mmvu(completion: str, question: Question) -> bool:
    """The letter that the final answer settles on; officially a paid model extracts it."""
    return settled(final(completion), question.options) == question.answer


def video_holmes(completion: str, question: Question) -> bool:
    """The official search, A first: "A ", "A:" or "[A" for any letter, and only then a bare one."""
    text = last_block(completion, completion)
    known = [letter for letter, _ in question.options]
    marked = [x for x in known if f"{x} " in text or f"{x}:" in text or f"[{x}" in text]
    found = marked or [letter for letter in known if letter in text]
    return found[:1] == [question.answer]


def mvbench(completion: str, question: Question) -> bool:
    """The first word is the letter, in either case, with or without brackets: "(A) text", "a."."""
    words = final(completion).lower().split()
    first = words[0].replace(".", "") if words else ""
    letter = question.answer.lower()
    return f"({letter})" in first or (letter in first and first in f"({letter})")


def tempcompass(completion: str, question: Question) -> bool:
    """The rules of the question's task, then a stand-in for the paid judge."""
    text = final(completion)
    task = question.category.split("/")[0]
    if task == "yes_no":
        match = re.match(r"(?i)(yes|no)", text)
        if match:
            return dict(question.options)[question.answer].strip() == match[1].lower()
    if task == "caption_matching":
        match = MATCHING_NAME.search(text) or re.fullmatch(r"\W*([12])\W*", text)
        if match:
            return match[1].translate(str.maketrans("12", "AB")) == question.answer
    return settled(text, question.options) == question.answer


def videomme(completion: str, question: Question) -> bool:
    """The first of A, B, C, D once phrases such as "The best answer is" are taken away."""
    found = re.search("[ABCD]", VIDEOMME_PREFIXES.sub("", final(completion)))
    return found is not None and found[0] == question.answer


OFFICIAL: dict[str, Callable[[str, Question], bool]] = {
    "clevrer": clevrer,
    "mmvu": mmvu,
    "video-holmes": video_holmes,
    "mvbench": mvbench,
    "tempcompass": tempcompass,
    "videomme": videomme,
}
"""Benchmark -> its own rule."""


def final(completion: str) -> str:
    """What a completion ends with: its last answer block, or else what follows the thinking."""
    return last_block(completion, completion.rpartition("</think>")[2]).strip()


def last_block(completion: str, otherwise: str) -> str:
    """The last answer block, or something else where there is none."""
    blocks = ANSWER.findall(completion)
    return str(blocks[-1]).strip() if blocks else otherwise


def settled(text: str, options: Options) -> str | None:
    """The one option that a text settles on, if it settles on any.

    In this order: the letter it begins with; the last letter behind "answer is", "option" or the
    like; the option whose words it contains first, and of two in one place the longer one.
    """
    known = {letter for letter, _ in options}
    leading = LEADING.match(text)
    if leading and leading[1] in known:
        return leading[1]
    concluding = [letter for letter in CONCLUDING.findall(text) if letter in known]
    if concluding:
        return str(concluding[-1])
    said, found = _plain(text), []
    for letter, option in options:
        words = _plain(option)
        match = re.search(rf"(?<!\w){re.escape(words)}(?!\w)", said) if words else None
        if match:
            found.append((match.start(), -len(words), letter))
    return min(found)[2] if found else None


def _plain(text: str) -> str:
    return " ".join(text.lower().strip(" .,;:!\n").split())
