"""A benchmark's file, whichever kind of it, as questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from videothinker.data.questions import read_questions
from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import official, reference
from videothinker.evaluation.benchmarks.records import LAYOUTS, Record
from videothinker.types import Question


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """The questions of a file."""

    questions: list[Question]
    layout: str
    """"prepared", or whose file it is: "reference" or "official"."""
    left_out: Mapping[str, int]
    """Kind of question that has no options -> how many were left out, such as "open-ended"."""


Reader = Callable[[Sequence[Record]], Iterator[Question | str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Readers:
    """How the records of a benchmark's two kinds of file become questions, or reasons for none."""

    reference: Reader
    official: Reader
    official_fields: frozenset[str]


READERS = {
    "mmvu": Readers(
        reference=reference.mmvu,
        official=official.mmvu,
        official_fields=frozenset({"question", "choices", "answer", "question_type", "video"}),
    ),
    "video-holmes": Readers(
        reference=reference.video_holmes,
        official=official.video_holmes,
        official_fields=frozenset(
            {"video ID", "Question ID", "Question Type", "Question", "Options", "Answer"}
        ),
    ),
    "mvbench": Readers(
        reference=reference.mvbench,
        official=official.mvbench,
        official_fields=frozenset({"question", "candidates", "answer", "video"}),
    ),
    "tempcompass": Readers(
        reference=reference.tempcompass,
        official=official.tempcompass,
        official_fields=frozenset({"question", "answer", "video_id", "dim"}),
    ),
    "videomme": Readers(
        reference=reference.videomme,
        official=official.videomme,
        official_fields=frozenset(
            {"question", "options", "answer", "videoID", "duration", "task_type"}
        ),
    ),
}
SIGNATURES = {
    "mmvu": "data_source",
    "video-holmes": "question_type",
    "mvbench": "ori_video",
    "tempcompass": "dim",
    "videomme": "videoID",
}
"""A field that only this benchmark's reference file has, so that another's is not mistaken."""


def read(benchmark: str, path: Path) -> Loaded:
    """The questions of a file or folder, and what was left out; the kind is told by its content."""
    if benchmark == "clevrer":
        return _prepared(path)
    find = official.in_folder if path.is_dir() else official.in_file
    rows = find(benchmark, path)
    readers, layout = READERS[benchmark], _layout(benchmark, rows[0])
    reader = readers.reference if layout == "reference" else readers.official
    questions: list[Question] = []
    left_out: Counter[str] = Counter()
    known: dict[str, Record] = {}
    for row, question in zip(rows, reader(rows), strict=True):
        if isinstance(question, str):
            left_out[question] += 1
            continue
        if question.id in known:
            raise row.problem(
                "id", f"{question.id!r} was used before, by {known[question.id].where}. Keep one."
            )
        known[question.id] = row
        questions.append(question)
    if not questions:
        raise InputError(f"{path}: none of {len(rows)} records is multiple choice. {LAYOUTS}")
    return Loaded(questions=questions, layout=layout, left_out=dict(left_out))


def _layout(benchmark: str, first: Record) -> str:
    """The kind of file whose fields the first record has, all or most of them."""
    kinds = {"reference": reference.FIELDS, "official": READERS[benchmark].official_fields}
    present = set(first.fields)
    if "solution" in present:  # only the reference's files have it
        _refuse_other_benchmark(benchmark, first)
        return "reference"
    share = {name: len(fields & present) / len(fields) for name, fields in kinds.items()}
    best = max(share, key=lambda name: share[name])
    if share[best] <= 0.5 or share["reference"] == share["official"]:
        expected = "; or ".join(
            f"{', '.join(sorted(fields))} ({name})" for name, fields in kinds.items()
        )
        raise InputError(
            f"{first.where}: the kind of file cannot be told from the fields "
            f"{', '.join(first.fields) or '(none)'}. A {benchmark} file has: {expected}. {LAYOUTS}"
        )
    return best


def _refuse_other_benchmark(benchmark: str, first: Record) -> None:
    if SIGNATURES[benchmark] in first.fields:
        return
    for other, field in SIGNATURES.items():
        if field in first.fields:
            raise InputError(
                f"{first.where}: {field}: this field belongs to {other}, not to {benchmark}. "
                f"Give the benchmark as {other}, or another file."
            )


def _prepared(path: Path) -> Loaded:
    """CLEVRER as `prepare` writes it; in a folder, questions without a correct option as well."""
    file = path / "questions.parquet" if path.is_dir() else path
    if file.suffix in (".json", ".jsonl") or (path.is_dir() and not file.is_file()):
        raise InputError(
            f"{path}: clevrer is evaluated on prepared questions. Run `videothinker prepare "
            "clevrer --questions FILE --annotations DIR --videos DIR --out DIR` and give "
            "DIR/questions.parquet, or DIR for the questions without a correct option as well."
        )
    questions = read_questions(file)
    without = path / "no_answer.parquet"
    if path.is_dir() and without.is_file():
        questions += read_questions(without)
    repeated = [name for name, n in Counter(question.id for question in questions).items() if n > 1]
    if repeated:
        raise InputError(f"{path}: id: {repeated[0]!r} occurs more than once. Prepare it again.")
    return Loaded(questions=questions, layout="prepared", left_out={})
