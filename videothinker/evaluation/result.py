"""OUT/result.json of `videothinker evaluate`, as others read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import PydanticKnownError

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import BY_NAME
from videothinker.evaluation.intervals import difference
from videothinker.evaluation.protocol import Protocol, asked_in
from videothinker.evaluation.rules import Scoring

MARKS = "marks.json"
"""Name of the file beside it that has what each question earned, by scoring."""


def _known(benchmark: str) -> str:
    if benchmark not in BY_NAME:
        expected = ", ".join(map(repr, BY_NAME))
        raise PydanticKnownError("literal_error", {"expected": expected})
    return benchmark


class Score(BaseModel, frozen=True):
    """A share of questions answered right, with its 95% interval.

    Part of result.json, as all classes here; keys that only others read are passed over.
    """

    accuracy: float | None
    low: float
    high: float
    n: int
    chance: float | None
    majority: float | None


class Scores(Score, frozen=True):
    """The same by category, and where there are any, by finer ones and over single options."""

    by_category: dict[str, Score]
    by_subcategory: dict[str, Score] = {}
    per_option: Score | None = None


class Portion(BaseModel, frozen=True):
    """Of questions or answers, with its 95% interval."""

    mean: float | None
    low: float
    high: float
    n: int


class Diagnosis(BaseModel, frozen=True):
    """What needs no thinking against what does."""

    observational: Portion
    inferential: Portion

    def gap(self) -> tuple[float, float, float] | None:
        """Observational minus inferential accuracy with a 95% interval."""
        if self.observational.mean is None or self.inferential.mean is None:
            return None
        return difference(self.inferential.model_dump(), self.observational.model_dump())


class Tokens(BaseModel, frozen=True):
    """Of an answer."""

    mean: float | None
    median: float | None
    most: int | None


class Lengths(BaseModel, frozen=True):
    """How long answers are, how many were cut off, and how many think first."""

    tokens: Tokens
    cut_off: Portion
    thinking: Portion


class Confusion(BaseModel, frozen=True):
    """An option that was taken for another one, how often, and the first questions of those."""

    right: str
    said: str
    n: int
    questions: tuple[str, ...]


class Result(Scores, frozen=True):
    """OUT/result.json of `videothinker evaluate`; its own scores are those of the reference."""

    model: str
    digest: str
    benchmark: Annotated[str, AfterValidator(_known)]
    data: str
    videos: str = ""
    questions: str = ""
    """Address of the questions by content."""
    subtitles: str | None = None
    """Address of what is said in the videos, where it was asked with that."""
    protocol: Protocol
    unanswered: int
    official: Scores
    diagnosis: Diagnosis | None = None
    lengths: Lengths | None = None
    confusions: tuple[Confusion, ...] = ()

    @property
    def asked(self) -> dict[str, Any]:
        """All that it must have in common with another one of its benchmark."""
        held = asked_in(self.protocol.model_dump())
        return held | {"questions": self.questions[:8] or self.data, "subtitles": self.subtitles}

    def scores(self, scoring: Scoring) -> Scores:
        """Overall and by category, under one of the two scorings."""
        return self.official if scoring == "official" else self


def read_marks(path: Path, result: Result) -> dict[str, Any] | None:
    """What each question earned, beside a result; None where it is not there or of other
    questions."""
    file = (path if path.is_dir() else path.parent) / MARKS
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: cannot be read ({error}). Run `videothinker evaluate` again, or delete it to"
            " compare without it."
        ) from error
    return found if found.get("questions") == result.questions else None


def read_result(path: Path) -> Result:
    """What `videothinker evaluate` wrote; refused where it is something else."""
    path = path / "result.json" if path.is_dir() else path
    try:
        return Result.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}. Give the --out folder of `videothinker evaluate`."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole file"
        raise InputError(
            f"{path}: {field}: {first['msg'].lower()}. Another version or another program wrote "
            "it; run `videothinker evaluate` again."
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path}: not JSON ({error}). Give the result.json that `videothinker evaluate` wrote."
        ) from error
