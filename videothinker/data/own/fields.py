"""What a row's fields mean, whoever named them: the ones training needs, found by name or told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from videothinker.data.questions import fault
from videothinker.errors import InputError
from videothinker.method.answers import KINDS, affirmed, answer_text, number
from videothinker.types import SHOWN_AT_MOST, AnswerKind, Question

Field = Literal[
    "id", "question", "options", "answer", "video", "images", "start", "end", "category", "kind",
    "tolerance", "weight",
]  # fmt: skip
NAMES: dict[Field, tuple[str, ...]] = {
    "id": ("id", "question_id", "problem_id", "qid"),
    "question": ("question", "problem", "query", "text"),
    "options": ("options", "choices", "candidates"),
    "answer": ("answer", "solution", "correct_answer", "label"),
    "video": ("video", "video_path", "path", "videos"),
    "images": ("images", "image"),
    "start": ("start", "start_time"),
    "end": ("end", "end_time"),
    "category": ("category", "question_type", "task_type"),
    "kind": ("kind", "answer_type", "problem_type"),
    "tolerance": ("tolerance",),
    "weight": ("weight",),
}
"""What each may be called, in the order in which they are tried."""
KIND_NAMES: dict[str, AnswerKind] = {
    "multiple choice": "choice",
    "multiple-choice": "choice",
    "mcq": "choice",
    "numerical": "number",
    "regression": "number",
    "free-form": "text",
    "open-ended": "text",
    "ocr": "text",
    "yes/no": "yes_no",
    "temporal grounding": "span",
}
"""How others call our kinds."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTER = re.compile(r"\s*\(?([A-Z])(?:[.):]\s*|\s*$)(.*)", re.DOTALL)
"""An option's letter, and what follows."""
WORDLESS = re.compile(r"[^a-zA-Z]+")
PLACE = re.compile(r"\s*<(?:video|image)>\s*")
"""Where a video stands among words."""


class Names:
    """What each field is called in a file: as in NAMES, but for what its user says."""

    def __init__(self, said: Mapping[Field, str | None]) -> None:
        self.called = {
            field: (name,) if (name := said.get(field)) else NAMES[field] for field in NAMES
        }
        self._known: dict[tuple[str, ...], list[tuple[Field, str]]] = {}
        """By the names that a row has, which most rows have in common."""

    def found(self, fields: Mapping[str, Any]) -> dict[Field, Any]:
        """What a row has of each field, or None."""
        there = tuple(fields)
        if there not in self._known:
            self._known[there] = [
                (field, next(name for name in called if name in fields))
                for field, called in self.called.items()
                if not fields.keys().isdisjoint(called)
            ]
        found: dict[Field, Any] = dict.fromkeys(NAMES)
        for field, name in self._known[there]:
            found[field] = fields[name]
        return found


def questions(
    fields: Mapping[str, Any], number: int, names: Names, kind: AnswerKind | None
) -> Iterator[Question]:
    """What a row asks: one question, or one for each exchange of a talk; InputError begins with
    the field that is wrong.
    """
    found = names.found(fields)
    talk = fields.get("conversations", fields.get("messages"))  # and those of chat templates
    if talk is None:
        yield _question(fields, found, str(number), names, kind)
        return
    exchanges = list(_exchanges(talk))
    if not exchanges:
        raise InputError(f"conversations: {_short(talk)} has no question with an answer after it")
    for place, (asked, answered) in enumerate(exchanges):
        text, options = split_options(asked)
        turn = found | {"question": text, "options": options or None, "answer": answered}
        if place and found["id"] is not None:
            turn["id"] = f"{found['id']}/{place}"
        yield _question(fields, turn, f"{number}/{place}" if place else str(number), names, kind)


def _question(
    fields: Mapping[str, Any],
    found: Mapping[Field, Any],
    number: str,
    names: Names,
    forced: AnswerKind | None,
) -> Question:
    for needed in ("question", "answer"):
        if found[needed] is None:
            raise InputError(_missing(needed, fields, names.called[needed]))
    if found["video"] is None and found["images"] is None:
        reason = _missing("video", fields, (*names.called["video"], *names.called["images"]))
        raise InputError(f'{reason}, or "video": "" for words alone')
    shows = [*_paths("video", found["video"]), *_paths("images", found["images"])]
    if len(shows) > SHOWN_AT_MOST:
        raise InputError(f"video: shows {len(shows)} at once, and {SHOWN_AT_MOST} is the most")
    options = read_options(found["options"])
    answer, letters = read_answer(found["answer"], options)
    kind = forced or _kind(found["kind"], letters if options else None, answer)
    if options and kind in ("choice", "multi"):
        answer = letters or answer
    question = Question(
        id=str(found["id"]) if found["id"] is not None else number,
        video=shows[0] if shows else "",
        also=tuple(shows[1:]),
        text=_text("question", found["question"]),
        options=options if kind in ("choice", "multi") else (),
        answer=answer,
        category=str(found["category"] or ""),
        start=_seconds("start", found["start"]),
        end=_seconds("end", found["end"]),
        kind=kind,
        tolerance=_seconds("tolerance", found["tolerance"]),
        weight=_seconds("weight", found["weight"]),
    )
    if (wrong := fault(question)) is not None:
        raise InputError(wrong)
    return question


def _missing(field: str, fields: Mapping[str, Any], called: tuple[str, ...]) -> str:
    there = ", ".join(fields) or "nothing"
    return f"{field}: none of the fields {', '.join(called)}; there are {there}. --{field} NAME"


def _exchanges(talk: Any) -> Iterator[tuple[str, str]]:
    """What was asked and answered, turn by turn."""
    if isinstance(talk, str):
        talk = _parsed("conversations", talk)
    asked = None
    for turn in talk if isinstance(talk, list) else ():
        if not isinstance(turn, dict):
            raise InputError(f"conversations: {_short(turn)} is no turn with `from` and `value`")
        who = str(turn.get("from") or turn.get("role") or "").lower()
        said = turn.get("value") or turn.get("content") or ""
        if isinstance(said, list):  # parts, of which those of text count
            said = " ".join(part.get("text") or "" for part in said if isinstance(part, dict))
        if who in ("human", "user"):
            asked = PLACE.sub("", str(said)).strip()
        elif who in ("gpt", "assistant") and asked is not None:
            yield asked, str(said)
            asked = None


def split_options(text: str) -> tuple[str, list[str]]:
    """A question whose options stand in its text, a line each; what follows them is left out."""
    lines = text.splitlines()
    for start in range(len(lines)):
        found = []
        for letter, candidate in zip(LETTERS, lines[start:], strict=False):
            match = LETTER.match(candidate)
            if match is None or match[1] != letter or not match[2].strip():
                break
            found.append(match[2].strip())
        if len(found) > 1:
            return "\n".join(lines[:start]).strip(), found
    return text, []


def read_options(value: Any) -> tuple[tuple[str, str], ...]:
    """(letter, text) of a list of texts, with their letters or without, or of an object."""
    if value is None or value in ("", [], {}):
        return ()
    if isinstance(value, str):
        value = _parsed("options", value) if value.lstrip()[:1] in ("[", "{") else value.split("|")
    if isinstance(value, dict):
        there = {key: text for key, text in value.items() if text is not None}
        lettered = all(len(key) == 1 and key in LETTERS for key in there)
        value = [f"{key}. {text}" if lettered else text for key, text in there.items()]
    if not isinstance(value, list):
        raise InputError(f"options: {_short(value)} is no list of texts")
    texts = [_text("options", one if isinstance(one, str) else _option(one)) for one in value]
    if len(texts) > len(LETTERS):
        raise InputError(f"options: {len(texts)} of them; at most {len(LETTERS)} have letters")
    return tuple(zip(LETTERS, _without_letters(texts), strict=False))


def _option(one: Any) -> Any:
    """As a text, where it has a letter of its own or is a number."""
    if isinstance(one, dict) and {"letter", "text"} <= one.keys():
        return f"{one['letter']}. {one['text']}"
    return str(one) if isinstance(one, (int, float)) else one


def _without_letters(options: list[str]) -> list[str]:
    """The same, where each begins with the letter of its place."""
    bare = []
    for letter, option in zip(LETTERS, options, strict=False):
        match = LETTER.match(option)
        if match is None or match[1] != letter:
            return options
        bare.append(match[2].strip())
    return bare


def read_answer(value: Any, options: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """The answer as a text, and the letters that it stands for among the options."""
    if isinstance(value, bool):
        return ("yes" if value else "no"), ""
    if isinstance(value, list) and value:
        parts = [read_answer(one, options) for one in value]
        separator = "; " if all(isinstance(one, str) for one in value) else ", "
        letters = sorted({letter for _, named in parts for letter in named.split(",")} - {""})
        return separator.join(text for text, _ in parts), ",".join(letters)
    if isinstance(value, int) and options:  # a place among them, from 0
        return str(value), options[value][0] if 0 <= value < len(options) else ""
    text = answer_text(_text("answer", str(value) if isinstance(value, (int, float)) else value))
    return text, _letters(text, options) if options else ""


def _letters(text: str, options: tuple[tuple[str, str], ...]) -> str:
    """Of "C", "(C)", "C. the red car", "A, C" or the option's own words."""
    known = dict(options)
    several = {part.strip(" ().") for part in text.split(",")}
    if several <= known.keys():
        return ",".join(sorted(several))
    for letter, option in options:
        if text.strip().casefold() == option.strip().casefold():
            return letter
    match = LETTER.match(text)
    return match[1] if match and match[1] in known else ""


def _kind(said: Any, letters: str | None, answer: str) -> AnswerKind:
    """The one that is said or, where none is, the one that the answer looks like."""
    if said is not None:
        name = KIND_NAMES.get(str(said).lower(), str(said))
        if name in KINDS:
            kind: AnswerKind = name
            return "multi" if kind == "choice" and letters and "," in letters else kind
        if letters is None:
            known = ", ".join([*get_args(AnswerKind), *KIND_NAMES])
            raise InputError(f"kind: {_short(said)} is none of {known}")
    if letters is not None:
        return "multi" if "," in letters else "choice"
    if len(answer.split()) == 1 and affirmed(answer) is not None:
        return "yes_no"
    return "number" if WORDLESS.fullmatch(answer) and number(answer) is not None else "text"


def _paths(field: str, value: Any) -> list[str]:
    """Of one video or picture, or of several; none of an empty text or list."""
    if value is None or value in ("", []):
        return []
    paths = []
    for one in value if isinstance(value, list) else [value]:
        path = one.get("path") if isinstance(one, dict) else one  # as `datasets` keeps a file
        if not isinstance(path, str) or not path.strip():
            raise InputError(f"{field}: {_short(value)} is no path of a file, and no list of them")
        paths.append(path.removeprefix("./"))
    return paths


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{field}: {_short(value)} is not a text")
    return PLACE.sub("", value) if field == "question" and "<" in value else value


def _seconds(field: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if isinstance(value, bool) or not 0 <= seconds < float("inf"):
        raise InputError(f"{field}: {_short(value)} is not a number from 0")
    return seconds


def _parsed(field: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{field}: {_short(text)} is not JSON") from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
