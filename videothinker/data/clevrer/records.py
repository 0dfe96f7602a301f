"""CLEVRER's own records, checked and typed, and how the wording of its questions is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from videothinker.errors import InputError

UNCHANGED = "Use CLEVRER's files unchanged."
NO_ANSWERS = "CLEVRER's test split has no answers; use train or validation."

CORE = r"(?P<core>(?:what|which event|which of the following) will (?P<negated>not )?happen)"
CLAUSE = r"(?:if the (?P<named>.+?) (?:is|was|were) removed|without the (?P<absent>.+?))"
QUESTION_FORMS = (
    re.compile(rf"{CORE} {CLAUSE}\?", re.IGNORECASE),
    re.compile(rf"{CLAUSE}, {CORE}\?", re.IGNORECASE),
)
OPTION_FORMS = (
    re.compile(r"the (.+?) collides with the (.+?)\.?", re.IGNORECASE),
    re.compile(r"the (.+?) and the (.+?) collide\.?", re.IGNORECASE),
)


class Record(BaseModel):
    """A part of CLEVRER's JSON: fields we do not use are passed over, types are not converted."""

    model_config = ConfigDict(strict=True, frozen=True)


class AnnotatedObject(Record):
    """An object of a video."""

    object_id: int
    color: str = ""
    material: str = ""
    shape: str = ""


class Collision(Record):
    """An entry of a video's collision log."""

    frame_id: int
    object_ids: Annotated[list[int], Field(min_length=2, max_length=2)]


class Annotation(Record):
    """What a video shows; where everything is in each frame is left out, it is most of the file."""

    scene_index: int | None = None
    object_property: list[AnnotatedObject]
    collision: list[Collision]

    def object_id(self, phrase: str) -> int:
        """The one object that has every word of the phrase as its colour, material or shape.

        CLEVRER says "object" where the shape is left out, and no more words than it needs.
        """
        words = set(phrase.lower().split()) - {"object"}
        found = [
            thing.object_id
            for thing in self.object_property
            if words <= {thing.color, thing.material, thing.shape}
        ]
        if len(found) == 1:
            return found[0]
        raise InputError(
            f"object_property: {len(found)} objects of the video are 'the {phrase}', and a "
            "question must mean exactly one. Check that the annotation belongs to the question's "
            "video."
        )


class Choice(Record):
    """An option of a counterfactual question."""

    choice_id: int | None = None
    choice: str
    answer: Literal["correct", "wrong"]


class Counterfactual(Record):
    """What a counterfactual question asks."""

    question: str
    choices: Annotated[list[Choice], Field(min_length=1, max_length=26)]


class Identity(Record):
    """What every question of a file has."""

    question_id: int
    question_type: Literal["descriptive", "explanatory", "predictive", "counterfactual"]


class SceneEntry(Record):
    """A video's entry in a question file; its questions are checked one by one, by their kind."""

    scene_index: int
    video_filename: str | None = None
    questions: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """An option, its collision read from the text."""

    text: str
    objects: tuple[str, str]
    """How the text calls the two objects."""
    correct: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionParts:
    """A counterfactual question's text, read."""

    without_clause: str
    """The question left when the removal is deleted: "What will happen?"."""
    removed: str
    """How the text calls the removed object."""
    negated: bool
    """It asks what will not happen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedQuestion:
    """A counterfactual question, its texts read."""

    text: str
    parts: QuestionParts
    options: tuple[Option, ...]


AnyRecord = TypeVar("AnyRecord", bound=Record)


def checked(kind: type[AnyRecord], value: dict[str, Any] | bytes) -> AnyRecord:
    """The record in a JSON object, parsed already or not; InputError names the field otherwise."""
    try:
        if isinstance(value, bytes):
            return kind.model_validate_json(value)
        return kind.model_validate(value)
    except ValidationError as error:
        raise InputError(_problem(error)) from error


def _problem(error: ValidationError) -> str:
    """The first problem in one line: field, what was found, remedy."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"not JSON: {first['ctx']['error']}. Download or unpack it again."
    name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"])
    remedy = NO_ANSWERS if first["loc"][-1:] == ("answer",) else UNCHANGED
    if first["type"] == "missing":
        return f"{name.lstrip('.')}: missing. {remedy}"
    wanted = first["msg"][0].lower() + first["msg"][1:]
    return f"{name.lstrip('.') or 'record'}: {wanted}, found {first['input']!r:.60}. {remedy}"


@contextmanager
def within(place: str) -> Iterator[None]:
    """Puts a file or a record in front of the message of an InputError from inside."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def read_parts(text: str) -> QuestionParts:
    """What a question asks; a wording that CLEVRER does not have is refused, never guessed."""
    for form in QUESTION_FORMS:
        match = form.fullmatch(text.strip())
        if match:
            core = match["core"]
            return QuestionParts(
                without_clause=f"{core[0].upper()}{core[1:]}?",
                removed=match["named"] or match["absent"],
                negated=match["negated"] is not None,
            )
    raise InputError(
        f"question: {text!r} is not CLEVRER's wording. Expected 'What (or: Which event, Which of "
        "the following) will (not) happen', with 'if the X is removed' or 'without the X' at "
        "either end."
    )


def read_question(record: Counterfactual) -> AskedQuestion:
    """A question with its texts read."""
    return AskedQuestion(
        text=record.question,
        parts=read_parts(record.question),
        options=tuple(_option(choice) for choice in record.choices),
    )


def _option(choice: Choice) -> Option:
    for form in OPTION_FORMS:
        match = form.fullmatch(choice.choice.strip())
        if match:
            first, second = match.groups()
            correct = choice.answer == "correct"
            return Option(text=choice.choice, objects=(first, second), correct=correct)
    raise InputError(
        f"choices.choice: {choice.choice!r} names no collision. Expected 'The A collides "
        "with the B' or 'The A and the B collide'."
    )
