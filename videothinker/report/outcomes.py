"""What a run's models answered to the validation questions, sorted by who was right.

An outcome is one way in which a question can come out: which models get it right, which do not.
Examples are chosen by how common their outcome is, so that nobody picks them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from videothinker.data.questions import read_questions
from videothinker.errors import InputError
from videothinker.method.rewards import STRICT_LAYOUT, answer_text, soft_accuracy
from videothinker.report.charts import percent
from videothinker.report.results import NEEDS
from videothinker.run.answers import NAME, read_answers
from videothinker.status.snapshot import Snapshot, read_snapshot, records, whole
from videothinker.terminal_text import clip, text_table, visible
from videothinker.types import Question

WIDTH = 120
"""Columns of a line."""

KINDS_SHOWN = 2
EXAMPLES = 3
"""Of each kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The validation questions, and every model's sampled answer to them."""

    questions: tuple[Question, ...]
    """In their file's order; those that have a right answer and were answered by some model."""
    said: Mapping[str, Mapping[str, str]]
    """Completions by model, in the order the models were made, and by the question's id. A question
    that a model was not able to answer is not among its completions, and counts as wrong."""

    def right(self, model: str, question: Question) -> bool:
        """Whether exactly the correct letters were named, as in the table of results."""
        completion = self.said[model].get(question.id, "")
        return soft_accuracy(completion, question.answer) == 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
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
    def share(self) -> str:
        """How common this is, in words."""
        count = len(self.questions)
        return f"{count} of {self.of} ({percent(count / self.of)})"


def read_asked(run: Snapshot) -> Asked | None:
    """What the models have answered so far; None where nothing is kept.

    InputError where answers are kept and their questions cannot be read.
    """
    stages = ["base", *(str(one.get("name")) for one in records(run.config.get("stages")))]
    kept = {file.parent.name: file.parent for file in (run.path / "stages").glob(f"*/{NAME}")}
    said = {name: _completions(kept[name]) for name in stages if name in kept}
    said = {name: completions for name, completions in said.items() if completions}
    data = run.config.get("data")
    if not said or not isinstance(data, dict) or not data.get("validation"):
        return None
    questions = read_questions(str(data["validation"]))
    questions = questions[: whole(data.get("validation_questions")) or None]
    answered = set().union(*said.values())
    usable = tuple(one for one in questions if one.answer and one.id in answered)
    return Asked(questions=usable, said=said) if usable else None


def outcomes(asked: Asked) -> dict[str, list[Outcome]]:
    """By kind, the commonest first; equally common ones in the order of their first questions.

    Only some kinds: inferential, observational, then those with most questions.
    """
    sizes = Counter(question.category for question in asked.questions)
    order = [*NEEDS, *(kind for kind, _ in sizes.most_common())]
    kinds = [kind for kind in dict.fromkeys(order) if kind in sizes][:KINDS_SHOWN]
    return {kind: _outcomes(asked, kind, sizes[kind]) for kind in kinds}


def examples(ranked: Sequence[Outcome]) -> list[Outcome]:
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


def _outcomes(asked: Asked, kind: str, of: int) -> list[Outcome]:
    found: dict[tuple[bool, ...], list[Question]] = {}
    for question in asked.questions:
        if question.category == kind:
            right = tuple(asked.right(model, question) for model in asked.said)
            found.setdefault(right, []).append(question)
    made = [
        Outcome(kind=kind, of=of, right=right, questions=tuple(questions))
        for right, questions in found.items()
    ]
    return sorted(made, key=lambda outcome: -len(outcome.questions))


def _completions(folder: Path) -> dict[str, str]:
    """A model's sampled answers; none where its file cannot be read."""
    try:
        answers = read_answers(folder, "sampled")
    except InputError:  # a file that is damaged costs its own model's place, not the page
        return {}
    return {identity: answer.completion for identity, answer in answers.items()}


def example(run: Path) -> str:
    """The first question of the commonest outcome on which the models differ, inferential where
    there are such; empty where no answers are kept, or no models differ.
    """
    try:
        asked = read_asked(read_snapshot(run))
    except InputError:  # an example is no result: what ends with it has not failed without it
        return ""
    ranked = next(iter(outcomes(asked).values())) if asked else []
    outcome = next((one for one in ranked if not one.agreed), None)
    return "" if asked is None or outcome is None else _told(asked, outcome)


def _told(asked: Asked, outcome: Outcome) -> str:
    question = outcome.questions[0]
    by_reply: dict[str, list[str]] = {}
    for model in asked.said:
        by_reply.setdefault(_reply(asked, model, question), []).append(model)
    answers = text_table([[f"  {', '.join(models)}", reply] for reply, models in by_reply.items()])
    which = f"questions that {NEEDS[outcome.kind]}" if outcome.kind in NEEDS else "questions"
    lines = [
        f"The models' commonest difference, {outcome.share} of the {which}:",
        visible(f"{question.text} Right: {_solution(question)}"),
        *answers.split("\n"),
    ]
    return "\n".join(clip(line, WIDTH) for line in lines)


def _reply(asked: Asked, model: str, question: Question) -> str:
    """What a model said, after whether that is right."""
    thinking, answer = parts(asked.said[model].get(question.id, ""))
    verdict = "right" if asked.right(model, question) else "wrong"
    return f"{verdict}, {answer}: {thinking}" if thinking else f"{verdict}: {answer or '-'}"


def _solution(question: Question) -> str:
    correct = question.answer.split(",")
    return "; ".join(f"{letter}. {text}" for letter, text in question.options if letter in correct)
