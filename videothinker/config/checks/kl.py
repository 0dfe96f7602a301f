"""What makes a divergence term impossible to run as it is configured."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from videothinker.config.kl import Direction, KLConfig
from videothinker.config.settings import StageConfig

DIVERGENCE_DETAILS = tuple(k for k in KLConfig.model_fields if k not in {"direction", "likelihood"})
STRENGTH = ("coefficient", "schedule", "schedule_steps")
KL_DETAILS: dict[Direction, tuple[str, ...]] = {
    "repel": DIVERGENCE_DETAILS,
    "attract": DIVERGENCE_DETAILS,
    "discount": (*STRENGTH, "anchor"),
    "tie_break": (*STRENGTH, "anchor", "likelihood"),
    "reweigh": (*STRENGTH, "anchor"),
    "unlikely": STRENGTH,
    "product": (*STRENGTH, "anchor"),
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
    if kl.compares and kl.anchor == "base":
        absolute = f", or set {where}.likelihood to absolute" * (kl.direction == "tie_break")
        yield (
            f"{where}.anchor = 'base': relative to itself it finds everything equally likely, so"
            f" direction {kl.direction} would have no effect. Name another anchor{absolute}"
        )
    known = ("base", *earlier)
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
        f"{where}.anchor = {kl.anchor!r}: not an earlier stage, base or a folder that exists.{hint}"
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
