"""The arguments of the verbs that make mini worlds and their base models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from videothinker.cli import mini
from videothinker.mini.settings import BOUNDS, SPLITS, World

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from videothinker.cli.commands import Outcome

    Verb = Callable[[str, Callable[..., Outcome], str, str], ArgumentParser]

KNOBS = {
    "objects": "of different colours; those that nothing touches are distractors",
    "lanes": "rows of cells",
    "columns": "cells in a lane",
    "frames": "at 2 a second; two of them make a video token",
    "options": "of each question",
    "wordings": "paraphrases of the question",
    "observational": "share of questions that the video alone answers",
    "occlusion": "share of cells behind a screen from the third frame on; never a collision",
    "heavy": "share of metal things, which a blow does not move",
    "will_not": "share of questions that ask what will not happen",
    "several": "share of questions with more than one true option",
}


def add_mini(verb: Verb) -> None:
    """A world in CLEVRER's layout, and a model that begins in it."""
    it = verb(
        "mini",
        mini.mini,
        "write a mini CLEVRER world in CLEVRER's own layout",
        "videothinker mini data/mini --videos 200 --seed 1\n"
        "  videothinker mini data/hard --videos 200 --seed 1 --objects 8 --lanes 4 --frames 8"
        " --occlusion 0.3 --heavy 0.3 --will-not 0.2 --several 0.2 --wordings 12",
    )
    it.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    it.add_argument("--videos", type=int, required=True, metavar="N")
    it.add_argument("--seed", type=int, required=True, metavar="S", help="same seed, same world")
    it.add_argument(
        "--split",
        choices=[split for split in SPLITS if split != "warm_start"],
        default="train",
        help="splits share no scene; test is for tables only (default train)",
    )
    it.add_argument(
        "--start", type=int, default=0, metavar="K", help="the split's K-th video comes first"
    )
    knobs = it.add_argument_group("difficulty")
    for knob in fields(World):
        kind = type(knob.default)
        least, most = BOUNDS.get(knob.name, (0, 1))
        knobs.add_argument(
            "--" + knob.name.replace("_", "-"),
            type=kind,
            default=knob.default,
            metavar="N" if kind is int else "P",
            help=f"{KNOBS[knob.name]}; {least} to {most} (default {knob.default})",
        )

    it = verb(
        "warm-start",
        mini.warm_start,
        "train a tiny Qwen2.5-VL to the point where the mini world's training begins",
        "videothinker warm-start models/mini-base --seed 1",
    )
    it.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    it.add_argument("--seed", type=int, required=True, metavar="S")
