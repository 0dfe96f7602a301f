"""What can be asked of a mini world, and which of its scenes are for what.

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

FAMILIES = ("qwen2_5_vl", "qwen3_vl")
"""Of the base model, as config.json calls them; one of the first comes with the package."""
REPULSION: dict[str, dict[str, float]] = {"qwen3_vl": {"coefficient": 0.1}}
"""What a quickstart's CDPO has in `kl` beside its file, for families that it destroys without."""

COLOURS = ("red", "blue", "green", "yellow", "cyan", "purple", "brown", "gray")
PHRASINGS = (
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
"""All ways in which CLEVRER asks what will happen."""
ASKED_PHRASINGS = 4
"""How many of them scenes use, from the first; the tokenizer knows all."""

LANES = 3
COLUMNS = 5
OPTIONS = 3
"""Of each question."""
BOUNDS = {"objects": (6, len(COLOURS)), "frames": (6, 32), "observational": (0, 1)}
"""Least and most of each knob."""


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """The knobs. A value that no scene fits is refused: InputError names what to change."""

    objects: int = 6
    """All of them have different colours; those that nothing touches are distractors."""
    frames: int = 6
    """Two of them make a video token."""
    observational: float = 0.74
    """Share of questions that the video alone answers; half of them with a deflection."""

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:  # true of "not a number" as well
                raise InputError(f"--{name} {value}: give a number from {least} to {most}.")
        if self.frames % 2:
            raise InputError(
                f"--frames {self.frames}: odd, and a video token is two frames. "
                f"Give {self.frames + 1}."
            )


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
