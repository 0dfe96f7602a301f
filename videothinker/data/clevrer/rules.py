"""Four readings of the paper's "observational": whether the video gives an answer away."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass

from videothinker.data.clevrer.records import Annotation, AskedQuestion
from videothinker.errors import InputError
from videothinker.types import Label

RULES = ("R1", "R2", "R3", "R4")
SHOWN_FRAMES = 128
"""Length of a CLEVRER video; what a log holds after that was not seen, and is no shortcut."""
SHORT_CLIPS: Mapping[int, int] = {7648: 104, 9777: 104}
"""scene_index -> frames of CLEVRER's two clips that end early."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionEvidence:
    """What the video's log says about one option."""

    letter: str
    text: str
    objects: tuple[int, int]
    frame: int | None
    """The first shown frame in which the two collide; None if they do not."""
    correct: bool

    @property
    def happened(self) -> bool:
        """The video shows it."""
        return self.frame is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Everything that the rules look at, for one question."""

    removed: int
    removed_frame: int | None
    """The first shown frame in which the removed object collides with anything."""
    shown_frames: int
    negated: bool
    options: tuple[OptionEvidence, ...]

    @property
    def answer(self) -> str:
        """The correct letters: "C" or "A,C"; empty where no option is correct."""
        return ",".join(option.letter for option in self.options if option.correct)


def gather(asked: AskedQuestion, annotation: Annotation, shown_frames: int) -> Evidence:
    """Looks up in the log what a question is about."""
    removed = annotation.object_id(asked.parts.removed)
    first: dict[frozenset[int], int] = {}
    for collision in sorted(annotation.collision, key=lambda entry: entry.frame_id):
        if collision.frame_id < shown_frames:
            first.setdefault(frozenset(collision.object_ids), collision.frame_id)
    options = []
    for letter, option in zip(string.ascii_uppercase, asked.options, strict=False):
        left, right = (annotation.object_id(phrase) for phrase in option.objects)
        options.append(
            OptionEvidence(
                letter=letter,
                text=option.text,
                objects=(left, right),
                frame=first.get(frozenset((left, right))),
                correct=option.correct,
            )
        )
    return Evidence(
        removed=removed,
        removed_frame=min((first[pair] for pair in first if removed in pair), default=None),
        shown_frames=shown_frames,
        negated=asked.parts.negated,
        options=tuple(options),
    )


def label(evidence: Evidence, rule: str) -> Label:
    """Whether the video alone answers a question, by one of four readings of the paper.

    R1: for every option, "it happened in the video" equals "it is true without the object".
    R2: every correct option is what the video shows.
    R3: at least one correct option is what the video shows.
    R4: the removed object touches nothing until the last of the options' events has happened; to
        the end of the video where none of them happens.

    "What the video shows" is the option's collision, or for "will not happen" its absence. Where no
    option is correct, the video shows nothing that is: inferential by R2 and R3.
    """
    if rule not in RULES:
        raise InputError(f"rule: {rule!r} is not one of {', '.join(RULES)}.")
    shown = [option.happened != evidence.negated for option in evidence.options]
    correct = [option.correct for option in evidence.options]
    rights = [is_shown for is_shown, right in zip(shown, correct, strict=True) if right]
    if rule == "R1":
        observational = shown == correct
    elif rule == "R2":
        observational = bool(rights) and all(rights)
    elif rule == "R3":
        observational = any(rights)
    else:
        frames = [option.frame for option in evidence.options if option.frame is not None]
        last = max(frames, default=evidence.shown_frames)
        observational = evidence.removed_frame is None or evidence.removed_frame > last
    return "observational" if observational else "inferential"
