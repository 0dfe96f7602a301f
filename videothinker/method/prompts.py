"""The words a model reads: the reference's exact strings, so results stay comparable with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from videothinker.method.answers import KINDS, LETTERED
from videothinker.types import Medium, Question, Wording

TRAINING_SUFFIX = (
    "  Output the thinking process in <think> </think> and final answer ({}) in <answer> </answer> "
    "tags."
)
"""The two leading spaces are the reference's own and part of what its models were trained on; the
kind of answer says what stands in brackets, where the reference has but the one with letters."""

EVALUATION_SUFFIX = (
    "\nPlease think about this question as if you were a human pondering deeply. Engage in an "
    "internal dialogue using expressions such as 'let me think', 'wait', 'Hmm', 'oh, I see', "
    "'let's break it down', etc, or other natural language thought expressions It's encouraged to "
    "include self-reflection or verification in the reasoning process. Provide your detailed "
    "reasoning between the <think> and </think> tags, and then give your final answer between the "
    "<answer> and </answer> tags."
)
"""The missing full stop after "thought expressions" is the reference's own."""

OTHER_ANSWER_SUFFIX = " Please provide only the answer ({}) within the <answer> </answer> tags."
SINGLE_LETTER_SUFFIX = (
    " Please provide only the single option letter (e.g., A, B, C, D, etc.) within the <answer> "
    "</answer> tags."
)

DIRECT_SUFFIX = (
    "\nAnswer straight away, without thinking first: write only the letter of the correct option "
    "within <answer> </answer> tags."
)
DIRECT_SUFFIX_OTHER = (
    "\nAnswer straight away, without thinking first: write only the answer ({}) within <answer> "
    "</answer> tags."
)
DIRECT_SUFFIX_SEVERAL = (
    "\nAnswer straight away, without thinking first: write only the letters of all correct "
    "options, separated by , if multiple, within <answer> </answer> tags."
)
"""Our own; the reference has no prompt without thinking."""


SAID = "\0said\0"
"""Where in a user's text subtitles go, once the frames are known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """One subtitle, in seconds of its video."""

    start: float
    end: float
    text: str


def problem(question: Question) -> str:
    """The question and its options, one "A. text" a line."""
    options = "\n".join(f"{letter}. {text}" for letter, text in question.options)
    return f"{question.text}\n{options}" if options else question.text


def training_text(question: Question) -> str:
    """What the policy reads in training, after the video."""
    return problem(question) + TRAINING_SUFFIX.format(KINDS[question.kind].asked)


def direct_text(question: Question) -> str:
    """What the policy reads where it is trained to answer without thinking."""
    if question.kind not in LETTERED:
        return problem(question) + DIRECT_SUFFIX_OTHER.format(KINDS[question.kind].asked)
    suffix = DIRECT_SUFFIX if question.kind == "choice" else DIRECT_SUFFIX_SEVERAL
    return problem(question) + suffix


def run_text(question: Question) -> str:
    """What the policy reads in a run, after the video."""
    return direct_text(question) if question.wording == "direct" else training_text(question)


def asked(question: Question, wording: Wording, benchmark: str = "clevrer") -> str:
    """What a model reads in a benchmark, after the video.

    training: as in training, so several letters may be named; nothing else does CLEVRER justice.
    evaluation: the published code's words. They ask for a single letter even where several options
        are correct, and so did the published evaluation.
    direct: the answer alone, because the untouched base may do better without thinking.
    """
    if wording == "training":
        return training_text(question)
    if question.kind not in LETTERED:
        words = KINDS[question.kind].asked
        if wording == "direct":
            return problem(question) + DIRECT_SUFFIX_OTHER.format(words)
        return problem(question) + EVALUATION_SUFFIX + OTHER_ANSWER_SUFFIX.format(words)
    if wording == "evaluation":
        return _evaluated(question, benchmark) + EVALUATION_SUFFIX + SINGLE_LETTER_SUFFIX
    suffix = DIRECT_SUFFIX_SEVERAL if benchmark == "clevrer" else DIRECT_SUFFIX
    return problem(question) + suffix


def _evaluated(question: Question, benchmark: str) -> str:
    """Question and options as the published evaluation lays them out, quirks included."""
    lines = [f"{letter}. {text}" for letter, text in question.options]
    if benchmark == "clevrer":
        return problem(question)
    if benchmark == "video-holmes":  # its records bring the options inside the question
        return f"{question.text} \n" + "\n".join(lines)
    return f"{question.text}Options:\n" + "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, kw_only=True, slots=True)
class Turns:
    """What stands around what is shown."""

    user: str
    before: str = ""
    """Of the user's turn, what comes before what is shown."""
    system: str = ""
    """Without one the model's template may insert its own."""
    begun: str = ""
    """What the model's own turn begins with."""
    spoken: tuple[Spoken, ...] = ()
    """Subtitles: of these, those of the frames that are shown stand where SAID is."""
    unspoken: str = ""
    """What stands there where there are none."""

    def of_frames(self, times: Sequence[float]) -> Turns:
        """With what is said while frames of these times are shown, each line once."""
        if SAID not in self.before + self.user:
            return self
        said = [one for one in self.spoken if any(one.start <= t <= one.end for t in times)]
        lines = "\n".join(dict.fromkeys(one.text for one in said))
        user, before = (
            text.replace(SAID, lines or self.unspoken) for text in (self.user, self.before)
        )
        return replace(self, user=user, before=before, spoken=())


def messages(text: str | Turns, shown: Sequence[Medium] = ("video",)) -> list[dict[str, Any]]:
    """For a chat template: what is shown, then the text; a text alone is a user's."""
    turns = text if isinstance(text, Turns) else Turns(user=text)
    content: list[dict[str, Any]] = [{"type": "text", "text": turns.before}] if turns.before else []
    content += [{"type": "image" if medium == "picture" else medium} for medium in shown]
    user = {"role": "user", "content": [*content, {"type": "text", "text": turns.user}]}
    if not turns.system:
        return [user]
    return [{"role": "system", "content": [{"type": "text", "text": turns.system}]}, user]
