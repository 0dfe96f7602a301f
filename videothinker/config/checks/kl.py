"""What makes a divergence term impossible to run as it is configured."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from videothinker.config.kl import Direction, KLConfig
from videothinker.config.settings import RunConfig, StageConfig

DIVERGENCE_DETAILS = tuple(k for k in KLConfig.model_fields if k not in {"direction", "likelihood"})
ANCHOR = ("anchor", "anchor_view", "anchor_every")
STRENGTH = ("coefficient", "schedule", "schedule_steps")
KL_DETAILS: dict[Direction, tuple[str, ...]] = {
    "repel": DIVERGENCE_DETAILS,
    "attract": DIVERGENCE_DETAILS,
    "discount": (*STRENGTH, *ANCHOR),
    "tie_break": (*STRENGTH, *ANCHOR, "likelihood"),
    "reweigh": (*STRENGTH, *ANCHOR),
    "unlikely": STRENGTH,
    "product": (*STRENGTH, *ANCHOR),
    "none": (),
}
"""By direction, the keys of `kl` that have an effect."""
SHARES: dict[Direction, str] = {
    "tie_break": "of a right answer's reward",
    "unlikely": "of a right answer's reward",
    "reweigh": "of a group's advantages",
}
"""Directions whose coefficient is a share, and of what."""


def check_kl(where: str, stage: StageConfig, earlier: list[str], later: list[str]) -> Iterator[str]:
    kl = stage.kl
    used = {"direction", *KL_DETAILS[kl.direction]}
    if idle := [key for key in type(kl).model_fields if key in kl.model_fields_set - used]:
        # A coefficient somebody wrote down and that does nothing is not the run that was meant.
        values = " and ".join(f"{key} = {getattr(kl, key)!r}" for key in idle)
        yield (
            f"{where}: with direction {kl.direction}, {values} would have no effect. Set direction"
            f" to repel or attract, or leave it out (as an argument:"
            f" {where}='{{direction: {kl.direction}}}')"
        )
    if kl.direction == "none":
        return
    yield from _check_coefficient(where, kl)
    yield from _check_schedule(where, stage)
    if not kl.asks:
        return
    if kl.compares and kl.anchor == "base" and kl.anchor_view == "video":
        absolute = f", or set {where}.likelihood to absolute" * (kl.direction == "tie_break")
        yield (
            f"{where}.anchor = 'base': relative to itself it finds everything equally likely, so"
            f" direction {kl.direction} would have no effect. Name another anchor, or have it see"
            f" less ({where}.anchor_view){absolute}"
        )
    known = ("base", "policy", *earlier)
    if kl.anchor in known or os.sep in kl.anchor or Path(kl.anchor).is_dir():
        return
    if kl.anchor == "bias":
        yield (
            f"{where}.anchor = 'bias': no earlier stage of this run is named bias. Put a stage"
            " named bias before it (configs/paper.yaml), or name the folder of a trained model"
            f" ({where}.anchor=runs/bias/stages/bias/model)"
        )
        return
    close = difflib.get_close_matches(kl.anchor, dict.fromkeys(("bias", *known)), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    if kl.anchor in later:
        hint = " That stage comes later: put it before this one"
    yield (
        f"{where}.anchor = {kl.anchor!r}: not an earlier stage, base, policy or a folder that"
        f" exists.{hint}"
    )


def _check_coefficient(where: str, kl: KLConfig) -> Iterator[str]:
    """What it is differs by direction, and so what it may be."""
    if kl.direction not in ("repel", "attract") and "coefficient" not in kl.model_fields_set:
        yield (
            f"{where}.coefficient: missing; the default is a divergence's, and next to nothing with"
            f" direction {kl.direction}. Set it, such as 0.5"
        )
    elif kl.direction in SHARES and not 0 < kl.coefficient <= 1:
        yield (
            f"{where}.coefficient = {kl.coefficient:g}: with direction {kl.direction} it is a share"
            f" {SHARES[kl.direction]}. Use more than 0, and 1 at most"
        )
    elif kl.direction in ("discount", "product") and kl.coefficient == 0:
        yield (
            f"{where}.coefficient = 0: direction {kl.direction} would have no effect. Set it above"
            " 0, or direction to none"
        )


def _check_schedule(where: str, stage: StageConfig) -> Iterator[str]:
    """What moves the coefficient, in a stage that has one, and cannot."""
    kl, steps = stage.kl, stage.kl.schedule_steps
    if kl.schedule == "constant":
        if steps is not None:
            yield (
                f"{where}.schedule_steps = {steps} has no effect with schedule = 'constant'. Set"
                f" {where}.schedule to ramp or early, or leave it out"
            )
        return
    said = f"{where}.schedule = {kl.schedule!r}"
    if steps is None:
        yield f"{said}: nothing says over how many steps. Set {where}.schedule_steps"
    elif kl.schedule == "ramp" and not 1 < steps <= stage.steps:
        yield (
            f"{where}.schedule_steps = {steps}: a ramp of one step is none, and one that is longer"
            f" than the stage's {stage.steps} steps never reaches the coefficient. Use 2 to"
            f" {stage.steps}"
        )
    elif kl.schedule == "early" and steps >= stage.steps:
        yield (
            f"{where}.schedule_steps = {steps} has no effect with schedule = 'early': the stage's"
            f" {stage.steps} steps are over by then. Use less, or leave both out"
        )
    if kl.target is not None:
        yield (
            f"{said} with {where}.target = {kl.target:g}: every step would move the coefficient"
            " that the schedule sets. Leave one of them out"
        )
    if kl.coefficient == 0:
        yield f"{said} has no effect on a coefficient of 0. Set {where}.coefficient above it"


def check_moving_anchor(where: str, stage: StageConfig, config: RunConfig) -> Iterator[str]:
    """An anchor that is the policy of some steps ago: what it cannot go with, and what it says of
    nothing."""
    kl, said = stage.kl, f"{where}.anchor_every = {stage.kl.anchor_every}"
    if not kl.moves:
        if kl.asks and kl.anchor_every != 1:
            yield (
                f"{said} has no effect with {where}.anchor = {kl.anchor!r}, which stays what it is."
                f" Set {where}.anchor to policy, or leave it out"
            )
        return
    if 1 < kl.anchor_every >= stage.steps:
        yield (
            f"{said}: in {stage.steps} steps it never becomes another than this stage's initial"
            f" model. Set {where}.anchor to base, or use less"
        )
    same = kl.anchor_every == config.learner.updates_per_step == 1 and kl.anchor_view == "video"
    if same and kl.direction in ("repel", "attract") and kl.estimator != "k1":
        yield (
            f"{where}.anchor = 'policy': with anchor_every = 1 it is the policy itself, and its"
            f" divergence from itself has no slope. Have it see less ({where}.anchor_view), or set"
            f" {where}.anchor_every to 2 or more"
        )
    if kl.every_token:
        key = "direction" if kl.direction == "product" else "estimator"
        yield (
            f"{where}.{key} = {getattr(kl, key)!r} with {where}.anchor = 'policy': the learner"
            f" reads the anchor's output head once, when a stage begins. Use another {key}"
        )
    if config.rollout.max_staleness:
        yield (
            f"{where}.anchor = 'policy' with rollout.max_staleness ="
            f" {config.rollout.max_staleness}: groups are scored before the policy that is to score"
            " them is trained. Set rollout.max_staleness to 0"
        )
    if config.cluster.scorers == 0:
        yield (
            f"{where}.anchor = 'policy' with cluster.scorers = 0: the learner has its adapter as it"
            " is, not as it was. Use 1 or more scorers"
        )
