"""What the verbs of the mini world do."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict, fields

from videothinker.cli.commands import Outcome
from videothinker.progress import ProgressLine


def mini(arguments: Namespace) -> Outcome:
    """A world in CLEVRER's layout."""
    from videothinker.mini.settings import World
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


def warm_start(arguments: Namespace) -> Outcome:
    """A base model for the mini world, from random weights."""
    from transformers.utils.logging import disable_progress_bar

    from videothinker.mini.base.build import build_base
    from videothinker.model.checkpoint import model_digest

    out, seed = arguments.out, arguments.seed
    disable_progress_bar()  # it would cut through ours
    with ProgressLine("warm start") as progress:
        figures = build_base(out, seed=seed, progress=progress)
    habits = {name: round(value, 4) for name, value in figures.items()}
    digest = model_digest(out)
    return Outcome(
        text=f"{out}, digest {digest}",
        result={"out": str(out), "seed": seed, "digest": digest, "habits": habits},
    )
