"""Answers that exist already: our own, or as lmms-eval and VLMEvalKit keep what they were told.

The toolkits name a question by its place in its file. That is only believed where what else they
say of it, its answer or its text, is what stands at that place.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videothinker.errors import InputError
from videothinker.types import Question

SHAPES = (
    'one {"id": ..., "completion": ...} a line; lmms-eval\'s samples (*_samples_*.jsonl);'
    " VLMEvalKit's predictions (.tsv or .json: PRED_FORMAT=tsv)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """One answer."""

    where: str
    """What an error begins with."""
    question: str
    """Id of the question."""
    completion: str


def completions_of(
    path: Path, questions: Sequence[Question], places: Sequence[int] = ()
) -> list[str]:
    """The completions of a file, in the order of the questions; each exactly once.

    places: of each question in its file, from 0, where that is not its place among them.
    """
    answers: dict[str, str] = {}
    known = {question.id for question in questions}
    for one in _read(path, dict(zip(places or range(len(questions)), questions, strict=True))):
        if one.question in answers:
            raise InputError(f"{one.where}: a second answer to {one.question}; keep one")
        if one.question not in known:
            raise InputError(
                f"{one.where}: no question has the id {one.question}; are these the answers to"
                " another file of questions?"
            )
        answers[one.question] = one.completion
    absent = [question.id for question in questions if question.id not in answers]
    if absent:
        raise InputError(
            f"{path}: {len(absent)} of {len(questions)} questions have no answer, the first is"
            f" {absent[0]}; answer them all, an empty completion counts as wrong"
        )
    return [answers[question.id] for question in questions]


def _read(path: Path, at: Mapping[int, Question]) -> Iterator[Given]:
    for where, record in _records(path):
        if "completion" in record:
            yield _ours(where, record)
        elif "doc_id" in record:
            yield from _of_lmms_eval(where, record, at)
        elif "prediction" in record:
            yield from _of_vlmevalkit(where, record, at)
        else:
            raise _unknown(where, record)


def _records(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each with where it stands."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a file of answers: {SHAPES}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text; name a file of answers: {SHAPES}") from error
    entries: Iterable[tuple[int, Any]]
    if path.suffix == ".tsv":
        csv.field_size_limit(1 << 24)
        entries = enumerate(csv.DictReader(text.splitlines(keepends=True), delimiter="\t"), start=1)
    elif path.suffix == ".json":
        listed = _json(str(path), text)
        if not isinstance(listed, list):
            raise _unknown(str(path), listed)
        entries = enumerate(listed, start=1)
    else:
        lines = enumerate(text.split("\n"), start=1)
        entries = ((n, _json(f"{path} line {n}", line)) for n, line in lines if line.strip())
    for number, entry in entries:
        where = f"{path} {'line' if path.suffix not in ('.tsv', '.json') else 'record'} {number}"
        if not isinstance(entry, dict):
            raise _unknown(where, entry)
        yield where, entry


def _json(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unknown(where, text) from error


def _unknown(where: str, found: object) -> InputError:
    said = found if isinstance(found, str) else json.dumps(found)
    return InputError(f"{where}: expected {SHAPES}; found {said[:60]!r}")


def _ours(where: str, record: Mapping[str, Any]) -> Given:
    if "id" not in record:
        raise _unknown(where, record)
    if not isinstance(record["completion"], str):
        raise InputError(f"{where}: the completion of {record['id']} is not a string")
    return Given(where=where, question=str(record["id"]), completion=record["completion"])


def _of_lmms_eval(
    where: str, record: Mapping[str, Any], at: Mapping[int, Question]
) -> Iterator[Given]:
    """What the model said, before any filter where that was kept."""
    question = _at(where, "doc_id", record["doc_id"], at)
    if question is None:
        return
    target = str(record.get("target", ""))
    text = dict(question.options).get(question.answer, question.answer)
    right = (question.answer, text, f"{question.answer}. {text}")
    if _bare(target) not in map(_bare, right):
        raise _elsewhere(where, f"target {target[:40]!r}", "answer", question.answer)
    said = record.get("resps", record.get("filtered_resps"))
    while isinstance(said, list) and said:
        said = said[0]
    if not isinstance(said, str):
        raise InputError(f"{where}: resps: {str(said)[:40]!r} is not what a model said")
    yield Given(where=where, question=question.id, completion=said)


def _bare(answer: str) -> str:
    return answer.strip().strip("().").strip()


def _of_vlmevalkit(
    where: str, record: Mapping[str, Any], at: Mapping[int, Question]
) -> Iterator[Given]:
    question = _at(where, "index", record.get("index"), at)
    if question is None:
        return
    text = str(record.get("question", ""))
    if " ".join(question.text.split()) not in " ".join(text.split()):
        raise _elsewhere(where, f"question {text[:40]!r}", "question", question.text[:40])
    yield Given(where=where, question=question.id, completion=str(record["prediction"]))


def _at(where: str, key: str, place: Any, at: Mapping[int, Question]) -> Question | None:
    """None for one that is left out of the questions here, as open-ended ones are."""
    try:
        number = int(place)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {key}: {place!r} is not a place in a file") from error
    if not 0 <= number <= max(at, default=-1):
        raise InputError(
            f"{where}: {key}: there is no record {number} in --data. Give the file of questions"
            " that the toolkit had"
        )
    return at.get(number)


def _elsewhere(where: str, theirs: str, key: str, ours: str) -> InputError:
    return InputError(
        f"{where}: its {theirs} is not the {key} at that place of --data ({ours!r}). Give the file"
        " of questions that the toolkit had, in its order"
    )
