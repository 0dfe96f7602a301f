"""An anchor that is the policy of some steps ago: `stages/NAME/anchor/step_000040/`, a model that
the learner writes and the scorers read.

The groups of step s are scored by the policy as it was after step `KLConfig.anchored_after(s - 1)`,
0 being the initial model. So a run that goes on from a state needs the one of that state's step.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from cluster.loop.states import state_steps
from cluster.workers.fleet import Fleet
from videothinker.config.kl import KLConfig
from videothinker.errors import InputError


def anchor_folder(stage: Path, step: int) -> Path:
    """Where the policy of a step lies, once it is written."""
    return stage / "anchor" / f"step_{step:06d}"


def require_anchor(stage: Path, step: int) -> Path:
    """The same; InputError where it is gone."""
    folder = anchor_folder(stage, step)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: gone, and the newest state of its stage goes on with it as the anchor."
            f" Remove that state from {stage / 'state'}, to go on from an earlier one"
        )
    return folder


def write_anchor(fleet: Fleet, stage: Path, kl: KLConfig, step: int, base: Path) -> None:
    """The policy after a step, beside what the scorers have by then and what states need."""
    fleet.settle_scorers()  # or one might be reading what goes
    drop_anchors(stage, kl, [*state_steps(stage), step - 1])
    fleet.learner.save_model(anchor_folder(stage, step), base)


def forget_anchors(fleet: Fleet, stage: Path, kl: KLConfig) -> None:
    """Of a stage that has made its last step."""
    fleet.anchor.load()
    fleet.settle_scorers()
    drop_anchors(stage, kl, [])


def drop_anchors(stage: Path, kl: KLConfig, done: Sequence[int]) -> None:
    """All that nobody needs who goes on after one of the steps done."""
    needed = {anchor_folder(stage, kl.anchored_after(step)) for step in done}
    for folder in (stage / "anchor").glob("step_*"):
        if folder not in needed:
            shutil.rmtree(folder)
