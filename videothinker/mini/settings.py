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

_BOUNDS = {
    "lanes": (3, 8),
    "columns": (5, 12),
    "frames": (6, 32),
    "options": (3, 5),
    "wordings": (1, len(WORDINGS)),
}
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
        for name, (least, most) in _BOUNDS.items():
            _within(name, getattr(self, name), least, most)
        for name in _SHARES:
            _within(name, getattr(self, name), 0.0, 1.0)
        if self.frames % 2:
            raise InputError(f"frames: {self.frames} is odd, and a video token is two frames.")
        if self.frames < self.columns:
            raise InputError(
                f"frames: {self.frames} end before the mover has crossed {self.columns} columns. "
                f"Give {self.columns + self.columns % 2} or more, or fewer columns."
            )
        if self.options >= self.columns:
            raise InputError(
                f"options: {self.options} do not fit into a lane of {self.columns} columns. "
                f"Give at most {self.columns - 1}, or more columns."
            )
        least = self.options + 3
        if not least <= self.objects <= len(COLOURS):
            raise InputError(
                f"objects: {self.objects} is not between {least} and {len(COLOURS)}, which "
                f"{self.options} options need and colours allow."
            )

    @property
    def varied(self) -> bool:
        """Whether questions differ in how many of their events happen."""
        return self.will_not > 0 or self.several > 0


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # also not a number
        raise InputError(f"{name}: {value} is not between {least} and {most}.")


def scene_numbers(split: Split, start: int, videos: int) -> range:
    """The numbers of that many scenes of a split, from its start-th; InputError beyond its end."""
    whole = SPLITS[split]
    if start < 0 or videos < 1 or start + videos > len(whole):
        raise InputError(
            f"videos={videos}, start={start}: need at least one video, start 0 or up, and no more "
            f"than the {len(whole)} scenes of {split} together."
        )
    return whole[start : start + videos]
