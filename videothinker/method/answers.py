"""Kinds of answers: how each is asked for, what counts as one, and what a given one is worth.

A right answer is a text, as it stands in the data: "C", "A,C", "12.5", "a red car", "yes", "1.5-4",
"[10, 20, 110, 220]" or "red; blue". What a model gives is read from its first answer block.
docs/own-data.md has a table of examples, which a test compares.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from videothinker.types import AnswerKind, Question

ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
THINKING = re.compile(r"<think>(.*?)(?:</think>|$)", re.DOTALL)
NUMBER = re.compile(r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")
"""Hours, minutes and seconds, as videos are talked about."""
ARTICLES = frozenset({"a", "an", "the"})
AFFIRMED = {"yes": True, "no": False, "true": True, "false": False}
HALF = 0.5
"""Overlap from which on a span or a box is right, as benchmarks count them."""


def answer_text(text: str) -> str:
    """The content of the first <answer> block; the whole text where there is none."""
    match = ANSWER.search(text)
    return (match.group(1) if match else text).strip()


@dataclass(frozen=True, kw_only=True, slots=True)
class KindOfAnswer:
    """What is to be known of a kind of answer."""

    asked: str
    """What the prompt says that an answer is, and the data has to be."""
    read: Callable[[str], Any]
    """A given or a right answer as a value; None where it is none of this kind."""
    credit: Callable[[Any, Any, Question], float]
    """What the first is worth where the second is right: from 0 to 1."""
    enough: float = 1.0
    """The credit from which on an answer is counted as right."""


def credit(completion: str, question: Question) -> float:
    """What a completion is worth as an answer to the question: from 0 to 1."""
    kind = KINDS[question.kind]
    given = kind.read(answer_text(completion))
    right = kind.read(question.answer)
    assert right is not None, f"{question.id}: {question.answer!r} is no {question.kind}"
    return 0.0 if given is None else kind.credit(given, right, question)


def is_right(completion: str, question: Question) -> bool:
    """Whether that is enough to be counted as right."""
    return credit(completion, question) >= KINDS[question.kind].enough


def letters(text: str) -> frozenset[str]:
    """The set of letters that an answer names.

    An empty text is the set that holds the empty string: that makes "A," wrong, and an empty
    answer to an empty solution right.
    """
    return frozenset(part.strip() for part in text.replace(" ", "").split(","))


def number(text: str) -> float | None:
    """The only number in a text."""
    found = numbers(text)
    return found[0] if len(found) == 1 else None


def numbers(text: str) -> list[float]:
    return [float(one.replace(",", "")) for one in NUMBER.findall(text)]


def words(text: str) -> tuple[str, ...] | None:
    """Lower case, without punctuation and articles."""
    kept = [word for word in re.findall(r"\w+", text.lower()) if word not in ARTICLES]
    return tuple(kept) or None


def affirmed(text: str) -> bool | None:
    """What a text begins with, yes or no."""
    return AFFIRMED.get((words(text) or ("",))[0])


def span(text: str) -> tuple[float, float] | None:
    """Where a part of a video starts and ends: seconds, or minutes and seconds as on a clock."""
    clocks = [
        int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
        for hours, minutes, seconds in CLOCK.findall(text)
    ]
    # what stands between two times is no sign of the second
    found = clocks or numbers(re.sub(r",|(?<=[\d.\s])-", " ", text))
    return (found[0], found[1]) if len(found) == 2 and found[0] < found[1] else None


def box(text: str) -> tuple[float, ...] | None:
    """Left, top, right and bottom, in thousandths of a frame's width and height."""
    found = numbers(text.replace(",", " "))
    whole = len(found) == 4 and found[0] < found[2] and found[1] < found[3]
    return tuple(found) if whole else None


def items(text: str) -> frozenset[tuple[str, ...]] | None:
    """What is listed, separated by ; or else by , or by lines."""
    mark = next((mark for mark in (";", "\n", ",") if mark in text), ";")
    found = {words(part) for part in text.split(mark)} - {None}
    return frozenset(one for one in found if one) or None


def _named(given: frozenset[str], right: frozenset[str], _: Question) -> float:
    return len(given) / len(right) if given <= right else 0.0


def _near(given: float, right: float, question: Question) -> float:
    allowed = question.tolerance or 1e-6 * max(1.0, abs(right))
    return float(abs(given - right) <= allowed * (1 + 1e-9))


def _same(given: object, right: object, _: Question) -> float:
    return float(given == right)


def _shared(given: Sequence[Any], right: Sequence[Any], _: Question) -> float:
    """F1 of two collections."""
    both = (Counter(given) & Counter(right)).total()
    return 2 * both / (len(given) + len(right))


def _overlap(given: Sequence[float], right: Sequence[float], _: Question) -> float:
    """What two intervals or boxes share of what they cover."""
    axes = len(right) // 2
    shared, first, second = 1.0, 1.0, 1.0
    for axis in range(axes):
        a0, a1, b0, b1 = given[axis], given[axis + axes], right[axis], right[axis + axes]
        shared *= max(0.0, min(a1, b1) - max(a0, b0))
        first *= a1 - a0
        second *= b1 - b0
    return shared / (first + second - shared)


KINDS: dict[AnswerKind, KindOfAnswer] = {
    "choice": KindOfAnswer(
        asked="the letter of one option",
        read=letters,
        credit=_same,
    ),
    "multi": KindOfAnswer(
        asked="letters separated by , if multiple",
        read=letters,
        credit=_named,
    ),
    "number": KindOfAnswer(asked="a number", read=number, credit=_near),
    "text": KindOfAnswer(asked="in few words", read=words, credit=_shared),
    "yes_no": KindOfAnswer(asked="yes or no", read=affirmed, credit=_same),
    "span": KindOfAnswer(
        asked="start and end in seconds, such as 1.5-4",
        read=span,
        credit=_overlap,
        enough=HALF,
    ),
    "box": KindOfAnswer(
        asked="left, top, right and bottom, from 0 to 1000, such as [10, 20, 110, 220]",
        read=box,
        credit=_overlap,
        enough=HALF,
    ),
    "list": KindOfAnswer(
        asked="all of them, separated by ;",
        read=items,
        credit=_shared,
    ),
}
LETTERED: tuple[AnswerKind, ...] = ("choice", "multi")
"""Answers that name options."""
