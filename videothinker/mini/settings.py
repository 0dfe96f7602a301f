"""What makes a mini world harder, and which of its scenes are for what.

The base model is trained on the world with the defaults. Everything else has to be asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from videothinker.errors import InputError

Split = Literal["train", "validation", "test", "warm_start"]
SPLITS: dict[Split, range] = {
    "train": range(1_000_000),
    "validation": range(1_000_000, 2_000_000),
    "test": range(2_000_000, 3_000_000),
    "warm_start": range(1 << 32, 1 << 33),
}
"""Numbers of scenes. The test split is for tables only: nothing is chosen by it."""

COLOURS = ("red", "blue", "green", "yellow", "cyan", "purple", "brown", "gray")
WORDINGS = (
    "What will happen if the {} is removed?",
    "Which event will happen if the {} is removed?",
    "What will happen without the {}?",
    "Which event will happen without the {}?",
    "If the {} is removed, what will happen?",
    "If the {} is removed, which event will happen?",
    "Without the {}, what will happen?",
    "Without the {}, which event will happen?",
    "Which of the following will happen if the {} is removed?",
    "Which of the following will happen without the {}?",
    "If the {} is removed, which of the following will happen?",
    "Without the {}, which of the following will happen?",
)
"""All that CLEVRER has; "will happen" becomes "will not happen" in questions about that."""

BOUNDS = {
    "objects": (6, len(COLOURS)),
    "lanes": (3, 8),
    "columns": (5, 12),
    "frames": (6, 32),
    "options": (3, 5),
    "wordings": (1, len(WORDINGS)),
}
"""Least and most of each knob that is a number; the others are shares."""
_SHARES = ("observational", "occlusion", "heavy", "will_not", "several")


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """The knobs. A combination that no scene fits is refused: InputError names what to change."""

    objects: int = 6
    """All of them have different colours; those that nothing touches are distractors."""
    lanes: int = 3
    columns: int = 5
    frames: int = 6
    """Two of them make a video token."""
    options: int = 3
    wordings: int = 4
    """How many of WORDINGS are used, from the first."""
    observational: float = 0.74
    """Share of questions that the video alone answers; half of them with a deflection."""
    occlusion: float = 0.0
    """Share of cells behind a screen; see videothinker.mini.screens for what stays in sight."""
    heavy: float = 0.0
    """Share of metal among the things that need not pass motion on. A blow does not move metal."""
    will_not: float = 0.0
    """Share of questions that ask what will not happen."""
    several: float = 0.0
    """Share of questions with more than one true option."""

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            self._within(name, least, most)
        for name in _SHARES:
            self._within(name, 0, 1)
        if self.frames % 2:
            raise InputError(
                f"--frames {self.frames}: odd, and a video token is two frames. "
                f"Give {self.frames + 1}."
            )
        if self.frames < self.columns:
            raise InputError(
                f"--frames {self.frames}: too few for a mover to cross --columns {self.columns}. "
                f"Give --frames {self.columns + self.columns % 2} or more, or fewer columns."
            )
        if self.options >= self.columns:
            raise InputError(
                f"--options {self.options}: too many events for a lane of --columns "
                f"{self.columns}. Give --columns {self.options + 1} or more, or fewer options."
            )
        if self.objects < self.options + 3:
            raise InputError(
                f"--objects {self.objects}: too few for --options {self.options}. "
                f"Give --objects {self.options + 3} or more, or fewer options."
            )

    def _within(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if not least <= value <= most:  # true of "not a number" as well
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} {value}: give a number from {least} to {most}.")

    @property
    def varied(self) -> bool:
        """Whether questions differ in how many of their events happen."""
        return self.will_not > 0 or self.several > 0


def scene_numbers(split: Split, start: int, videos: int) -> range:
    """The numbers of that many scenes of a split, from its start-th; InputError beyond its end."""
    whole = SPLITS[split]
    if videos < 1:
        raise InputError(f"--videos {videos}: give 1 or more.")
    if start < 0 or start + videos > len(whole):
        raise InputError(
            f"--start {start} --videos {videos}: the {split} split has scenes 0 to "
            f"{len(whole) - 1}. Give another part of it."
        )
    return whole[start : start + videos]
