"""What a run's models answered to the same validation questions, sorted by who was right.

How a question comes out, its outcome, is a pattern: which models get it right, which do not.
Examples are chosen by how common their pattern is, so that nobody picks them. A page shows the
patterns as a table and the examples with their clips, a terminal one example in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from videothinker.data.asked import VALIDATION, as_probed, probed
from videothinker.data.questions import read_questions
from videothinker.errors import InputError
from videothinker.method.answers import answer_text, is_right
from videothinker.method.rewards import STRICT_LAYOUT
from videothinker.report.charts import percent
from videothinker.report.results import KIND_TITLES, NEEDS
from videothinker.report.stills import Pictures
from videothinker.run.answers import ANSWERS, read_answers
from videothinker.status.snapshot import Snapshot, read_snapshot, records, whole
from videothinker.terminal_text import clip, text_table, visible
from videothinker.types import Question

WIDTH = 120
"""Columns of a line."""

KINDS_SHOWN = 2
EXAMPLES = 3
"""Of each kind."""
ROWS = 6
"""Patterns of a kind that are listed one by one, besides those of which a clip is shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerSheet:
    """The validation questions, and every model's sampled answer to them."""

    questions: tuple[Question, ...]
    """In their file's order; those that have a right answer and were answered by some model."""
    said: Mapping[str, Mapping[str, str]]
    """Completions by model, in the order the models were made, and by the question's id. A question
    that a model was not able to answer is not among its completions, and counts as wrong."""

    def right(self, model: str, question: Question) -> bool:
        """Whether the answer is right, as in the table of results."""
        completion = self.said[model].get(question.id, "")
        return is_right(completion, question)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """The questions of one kind that came out alike."""

    kind: str
    of: int
    """Questions of this kind in all."""
    right: tuple[bool, ...]
    """Of each model."""
    questions: tuple[Question, ...]
    """In their file's order."""

    @property
    def agreed(self) -> bool:
        """All models right, or all wrong."""
        return len(set(self.right)) == 1

    @property
    def count(self) -> int:
        """Questions that came out like this."""
        return len(self.questions)

    @property
    def share(self) -> str:
        """How common this is, in words."""
        return f"{self.count} of {self.of} ({percent(self.count / self.of)})"


def answers_part(run: Snapshot, pictures: Pictures) -> dict[str, object] | None:
    """How often which models were right, and a few clips with what each model said, for the page.

    None where no answers are kept; only `unread`, a sentence, where their questions are gone.
    """
    try:
        sheet = read_sheet(run)
    except InputError as error:
        return {"unread": f"Answers are kept, but {error}"}
    if sheet is None:
        return None
    found = outcomes(sheet)
    chosen = [one for ranked in found.values() for one in examples(ranked)]
    return {
        "unread": "",
        "sheet": sheet,
        "kinds": [(_kind(kind), *_listed(ranked, chosen)) for kind, ranked in found.items()],
        "chosen": chosen,
        "examples_of_a_kind": EXAMPLES,
        "kinds_left_out": len({one.category for one in sheet.questions} - set(found)),
        "shown": [_shown(sheet, one, pictures) for one in chosen],
    }


def _listed(
    ranked: Sequence[Pattern], chosen: Sequence[Pattern]
) -> tuple[list[Pattern], list[Pattern]]:
    """Those that get a row of their own, and the rest."""
    listed = [one for place, one in enumerate(ranked) if place < ROWS or one in chosen]
    return listed, [one for one in ranked if one not in listed]


def _shown(sheet: AnswerSheet, pattern: Pattern, pictures: Pictures) -> dict[str, object]:
    """The first question that came out like this, and each model's thinking and answer, which is
    None where the question was left out.
    """
    question = pattern.questions[0]
    replies = []
    for model, said in sheet.said.items():
        completion = said.get(question.id)
        thinking, answer = ("", None) if completion is None else parts(completion)
        replies.append((model, sheet.right(model, question), thinking, answer))
    return {
        "title": f"{_kind(pattern.kind)}; {pattern.share}",
        "question": question,
        "stills": pictures(question.shows, question.start, question.end),
        "replies": replies,
    }


def _kind(kind: str) -> str:
    """A kind of question as a title."""
    words = KIND_TITLES.get(kind)
    return f"{words.capitalize()} ({kind})" if words else kind or "All questions"


def read_sheet(run: Snapshot) -> AnswerSheet | None:
    """What the models have answered so far; None where nothing is kept.

    InputError where answers are kept and their questions cannot be read.
    """
    stages = ["base", *(str(one.get("name")) for one in records(run.config.get("stages")))]
    kept = {file.parent.name: file.parent for file in (run.path / "stages").glob(f"*/{ANSWERS}")}
    said = {name: _completions(kept[name]) for name in stages if name in kept}
    said = {name: completions for name, completions in said.items() if completions}
    data = run.config.get("data")
    if not said or not isinstance(data, dict) or not data.get("validation"):
        return None
    questions = read_questions(str(data["validation"]))
    questions = questions[: whole(data.get("validation_questions")) or None]
    if data.get("category") == "probe":
        questions = as_probed(questions, probed(run.path, VALIDATION) / "questions.parquet")
    answered = set().union(*said.values())
    usable = tuple(one for one in questions if one.answer and one.id in answered)
    return AnswerSheet(questions=usable, said=said) if usable else None


def outcomes(sheet: AnswerSheet) -> dict[str, list[Pattern]]:
    """By kind, the commonest first; equally common ones in the order of their first questions.

    Only some kinds: inferential, observational, then those with most questions.
    """
    sizes = Counter(question.category for question in sheet.questions)
    order = [*NEEDS, *(kind for kind, _ in sizes.most_common())]
    kinds = [kind for kind in dict.fromkeys(order) if kind in sizes][:KINDS_SHOWN]
    return {kind: _patterns(sheet, kind, sizes[kind]) for kind in kinds}


def examples(ranked: Sequence[Pattern]) -> list[Pattern]:
    """Up to EXAMPLES of one kind, the commonest first: one on which the models agree, the others
    such on which they do not, each the commonest of its sort; where a sort has too few, the next
    commonest of the other.
    """
    agreed = [one for one in ranked if one.agreed]
    differed = [one for one in ranked if not one.agreed]
    apart = EXAMPLES - 1
    chosen = [*agreed[:1], *differed[:apart], *agreed[1:], *differed[apart:]][:EXAMPLES]
    return [one for one in ranked if one in chosen]


def parts(completion: str) -> tuple[str, str]:
    """Thinking and answer; all of a completion without the asked layout is answer."""
    match = STRICT_LAYOUT.fullmatch(completion)
    if match is None:
        return "", completion.strip()
    return match.group(1).strip(), answer_text(completion)


def _patterns(sheet: AnswerSheet, kind: str, of: int) -> list[Pattern]:
    found: dict[tuple[bool, ...], list[Question]] = {}
    for question in sheet.questions:
        if question.category == kind:
            right = tuple(sheet.right(model, question) for model in sheet.said)
            found.setdefault(right, []).append(question)
    made = [
        Pattern(kind=kind, of=of, right=right, questions=tuple(questions))
        for right, questions in found.items()
    ]
    return sorted(made, key=lambda pattern: -pattern.count)


def _completions(folder: Path) -> dict[str, str]:
    """A model's sampled answers; none where its file cannot be read."""
    try:
        answers = read_answers(folder, "sampled")
    except InputError:  # a file that is damaged costs its own model's place, not the page
        return {}
    return {identity: answer.completion for identity, answer in answers.items()}


def example(run: Path) -> str:
    """For a terminal: the first question of the commonest outcome on which the models differ,
    inferential where there are such; empty where no answers are kept, or no models differ.
    """
    try:
        sheet = read_sheet(read_snapshot(run, tail=1))
    except InputError:  # an example is no result: what ends with it has not failed without it
        return ""
    ranked = next(iter(outcomes(sheet).values())) if sheet else []
    pattern = next((one for one in ranked if not one.agreed), None)
    return "" if sheet is None or pattern is None else _told(sheet, pattern)


def _told(sheet: AnswerSheet, pattern: Pattern) -> str:
    question = pattern.questions[0]
    by_reply: dict[str, list[str]] = {}
    for model in sheet.said:
        by_reply.setdefault(_reply(sheet, model, question), []).append(model)
    answers = text_table([[f"  {', '.join(models)}", reply] for reply, models in by_reply.items()])
    which = f"questions that {NEEDS[pattern.kind]}" if pattern.kind in NEEDS else "questions"
    lines = [
        f"The models' commonest difference, {pattern.share} of the {which}:",
        visible(f"{question.text} Right: {_solution(question)}"),
        *answers.split("\n"),
    ]
    return "\n".join(clip(line, WIDTH) for line in lines)


def _reply(sheet: AnswerSheet, model: str, question: Question) -> str:
    """What a model said, after whether that is right."""
    thinking, answer = parts(sheet.said[model].get(question.id, ""))
    verdict = "right" if sheet.right(model, question) else "wrong"
    return f"{verdict}, {answer}: {thinking}" if thinking else f"{verdict}: {answer or '-'}"


def _solution(question: Question) -> str:
    correct = question.answer.split(",")
    return "; ".join(f"{letter}. {text}" for letter, text in question.options if letter in correct)
