"""The verbs that make mini worlds and their base models."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict, fields
from pathlib import Path

from videothinker.cli.verb import Outcome, argument, verb
from videothinker.mini.settings import BOUNDS, FAMILIES, SPLITS, World
from videothinker.progress import ProgressLine

KNOBS = {
    "objects": "of different colours; those that nothing touches are distractors",
    "frames": "at 2 a second; two of them make a video token",
    "observational": "share of questions that the video alone answers",
}


def _difficulty(parser: ArgumentParser) -> None:
    """An option for every knob of a world."""
    knobs = parser.add_argument_group("difficulty")
    for knob in fields(World):
        kind = type(knob.default)
        least, most = BOUNDS[knob.name]
        knobs.add_argument(
            f"--{knob.name}",
            type=kind,
            default=knob.default,
            metavar="N" if kind is int else "P",
            help=f"{KNOBS[knob.name]}; {least} to {most} (default {knob.default})",
        )


@verb(
    "videothinker mini data/mini --videos 200 --seed 1\n"
    "  videothinker mini data/long --videos 200 --seed 1 --objects 8 --frames 8",
    argument("out", type=Path, metavar="OUT", help="a new folder"),
    argument("--videos", type=int, required=True, metavar="N"),
    argument("--seed", type=int, required=True, metavar="S", help="same seed, same world"),
    argument(
        "--split",
        choices=[split for split in SPLITS if split != "warm_start"],
        default="train",
        help="splits share no scene; test is for tables only (default train)",
    ),
    argument(
        "--start", type=int, default=0, metavar="K", help="the split's K-th video comes first"
    ),
    _difficulty,
)
def mini(arguments: Namespace) -> Outcome:
    """Write a mini CLEVRER world in CLEVRER's own layout."""
    from videothinker.mini.write import write_world

    out, videos, seed = arguments.out, arguments.videos, arguments.seed
    world = World(**{knob.name: getattr(arguments, knob.name) for knob in fields(World)})
    part = {"start": arguments.start, "split": arguments.split}
    with ProgressLine("mini") as progress:
        write_world(out, videos, seed, progress=progress, world=world, **part)
    return Outcome(
        text=f"{videos} videos, their annotations and questions in {out}",
        result={"out": str(out), "videos": videos, "seed": seed, **part, "world": asdict(world)},
    )


@verb(
    "videothinker warm-start models/mini-base --seed 1",
    argument("out", type=Path, metavar="OUT", help="a new folder"),
    argument("--seed", type=int, required=True, metavar="S"),
    argument(
        "--family",
        choices=FAMILIES,
        default=FAMILIES[0],
        help=f"what kind of model it is (default {FAMILIES[0]})",
    ),
)
def warm_start(arguments: Namespace) -> Outcome:
    """Train a tiny model to the point where the mini world's training begins."""
    from transformers.utils.logging import disable_progress_bar

    from videothinker.mini.base.build import build_base
    from videothinker.model.checkpoint import model_digest

    out, seed, family = arguments.out, arguments.seed, arguments.family
    disable_progress_bar()  # it would cut through ours
    with ProgressLine("warm start") as progress:
        figures = build_base(out, seed=seed, family=family, progress=progress)
    habits = {name: round(value, 4) for name, value in figures.items()}
    digest = model_digest(out)
    made = {"out": str(out), "seed": seed, "family": family, "digest": digest}
    return Outcome(text=f"{out}, digest {digest}", result={**made, "habits": habits})
