"""What makes a well-typed configuration impossible to run: keys that disagree, files that lack."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from videothinker.config.kl import KLConfig
from videothinker.config.learner_checks import check_learner
from videothinker.config.rewards import RIGHTNESS, RewardName
from videothinker.config.settings import PROBES, DrawConfig, GuardConfig, RunConfig, StageConfig
from videothinker.types import LABELS

DIVERGENCE_DETAILS = tuple(k for k in KLConfig.model_fields if k not in {"direction", "likelihood"})
KL_DETAILS = {
    "repel": DIVERGENCE_DETAILS,
    "attract": DIVERGENCE_DETAILS,
    "discount": ("coefficient", "schedule", "schedule_steps", "anchor", "likelihood"),
    "none": (),
}
"""By direction, the keys of `kl` that have an effect."""


def cross_checks(config: RunConfig) -> Iterator[str]:
    """Every pair of settings that cannot hold together, as a sentence for the user."""
    names = [stage.name for stage in config.stages]
    for number, stage in enumerate(config.stages):
        where, earlier = f"stages.{number}", names[:number]
        yield from _check_name(where, stage, earlier)
        yield from _check_kl(f"{where}.kl", stage, earlier, names[number:])
        yield from _check_draw(f"{where}.draw", stage, earlier)
        yield from _check_guard(where, stage)
        yield from _check_stage(where, stage, config)
        yield from _check_refill(where, stage, config)
        yield from _check_validation(where, stage, config)
        yield from _check_category(where, stage, config)
        yield from _check_wording(where, stage, config)
    yield from _check_rewards(config)
    yield from check_learner(config)
    yield from _check_rollout(config)
    yield from _check_data(config)
    yield from _check_pinned(config)
    yield from _check_out(config)
    if len(set(config.report_to)) < len(config.report_to):
        yield "report_to: the same tracker is named twice. Name each once"


def _check_name(where: str, stage: StageConfig, earlier: list[str]) -> Iterator[str]:
    if stage.name == "base":
        yield (
            f"{where}.name = 'base': that is the model every stage starts from. Give the stage"
            " another name"
        )
    if stage.name in earlier:
        yield (
            f"{where}.name = {stage.name!r}: an earlier stage has this name, and results are kept"
            " by name. Give each stage its own"
        )


def _check_stage(where: str, stage: StageConfig, config: RunConfig) -> Iterator[str]:
    """What a stage and the rest of the configuration say of each other."""
    if stage.replay >= config.sampling.group_size:
        yield (
            f"{where}.replay = {stage.replay}: the policy samples nothing of a group of"
            f" sampling.group_size = {config.sampling.group_size}. Replay fewer"
        )
    titles = [reward.title for reward in config.rewards]
    if stage.kl.direction == "discount" and not {*RIGHTNESS} & {*titles}:
        yield (
            f"{where}.kl.direction = 'discount': none of the rewards {', '.join(titles)} is"
            " for the answer, so nothing would be discounted. Add"
            f" {' or '.join(RIGHTNESS)} to rewards"
        )
    if stage.prompts_per_step % config.learner.ranks:
        yield (
            f"{where}.prompts_per_step = {stage.prompts_per_step} cannot be shared evenly by"
            f" learner.ranks = {config.learner.ranks}. Use a multiple of {config.learner.ranks}, or"
            " other ranks"
        )
    if config.learner.warmup_steps >= stage.steps:
        yield (
            f"learner.warmup_steps = {config.learner.warmup_steps}: {where}.steps = {stage.steps}"
            " end before the schedule begins. Lower the first"
        )


def _check_wording(where: str, stage: StageConfig, config: RunConfig) -> Iterator[str]:
    """What does not go with how a run asks."""
    said = f"prompts.wording = {config.prompts.wording!r}"
    if config.prompts.wording == "both" and stage.replay:
        yield (
            f"{where}.replay = {stage.replay} with {said}: completions are kept by question, and"
            " those of one wording are no answers to the other. Use one wording, or leave it out"
        )
    if config.prompts.wording == "direct" and stage.kl.applies_to == "thinking":
        yield (
            f"{where}.kl.applies_to = 'thinking' with {said}: nothing is thought that could feel"
            " it. Use all or answer"
        )


def _check_refill(where: str, stage: StageConfig, config: RunConfig) -> Iterator[str]:
    """What has no effect where groups of equal rewards are left out, or leaves nothing to draw."""
    refill = config.sampling.refill
    if refill and stage.limit is not None and stage.limit <= stage.prompts_per_step:
        yield (
            f"sampling.refill = {refill}: every step of {where} asks all of its questions"
            f" ({where}.limit = {stage.limit}), so there is no other to draw. Set {where}.limit"
            f" above {where}.prompts_per_step = {stage.prompts_per_step}, or leave refill out"
        )
    if refill and stage.kl.skip_equal_groups:
        yield (
            f"{where}.kl.skip_equal_groups = True has no effect with sampling.refill = {refill}:"
            " groups of equal rewards are left out altogether. Leave it out"
        )


def _check_draw(where: str, stage: StageConfig, earlier: list[str]) -> Iterator[str]:
    """Whose errors are drawn, and what is said about them and does nothing."""
    draw, usual = stage.draw, DrawConfig()
    for key in ("share", "of") if draw.by == "uniform" else ():
        if getattr(draw, key) != getattr(usual, key):
            yield (
                f"{where}.{key} = {getattr(draw, key)!r} has no effect with by = 'uniform'. Set"
                f" {where}.by to errors, or leave it out"
            )
    if draw.by == "uniform":
        return
    if draw.of not in earlier:
        yield (
            f"{where}.of = {draw.of!r}: no earlier stage of this run has that name, and a stage's"
            " model is asked at its end. Put the stage before this one (configs/paper.yaml)"
        )


def _check_category(where: str, stage: StageConfig, config: RunConfig) -> Iterator[str]:
    """What probes cannot give; what a file lacks is known once it is read."""
    if config.data.category == "probe" and stage.category not in (None, *LABELS):
        yield (
            f"{where}.category = {stage.category!r}: with data.category = 'probe' a question is"
            f" {' or '.join(LABELS)}. Use one of these, or leave it out"
        )


def _check_validation(where: str, stage: StageConfig, config: RunConfig) -> Iterator[str]:
    """What is said about validating a stage and does nothing."""
    every, usual = stage.validate_every, StageConfig.model_fields
    keys = ("validate_questions", "keep_best", "patience")
    details = [key for key in keys if getattr(stage, key) != usual[key].default]
    said = [*details, *["validate_every"] * (every not in (0, usual["validate_every"].default))]
    if said and config.data.validation is None:
        yield (
            f"{where}.{said[0]} = {getattr(stage, said[0])!r} has no effect without"
            " data.validation. Name a file of questions, or leave it out"
        )
    elif said and not 0 < every < stage.steps:
        yield (
            f"{where}.{said[0]} = {getattr(stage, said[0])!r} has no effect: with"
            f" {where}.validate_every = {every} nothing is answered before {where}.steps ="
            f" {stage.steps} end. Set {where}.validate_every lower, or leave it out"
        )
    if stage.patience is not None and stage.keep_best is None:
        yield (
            f"{where}.patience = {stage.patience}: nothing says which model is the best. Set"
            f" {where}.keep_best to overall, inferential or observational"
        )


def _check_kl(
    where: str, stage: StageConfig, earlier: list[str], later: list[str]
) -> Iterator[str]:
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
    if kl.direction == "discount" and "coefficient" not in kl.model_fields_set:
        yield (
            f"{where}.coefficient: missing; the default is a divergence's, and as a share of the"
            " reward it is next to nothing. Set it, such as 0.5"
        )
    elif kl.direction == "discount" and not 0 < kl.coefficient <= 1:
        yield (
            f"{where}.coefficient = {kl.coefficient:g}: with direction discount it is a share of"
            " the reward. Use more than 0, and 1 at most"
        )
    if kl.compares and kl.anchor == "base":
        yield (
            f"{where}.anchor = 'base': relative to itself it finds everything equally likely, so"
            f" the discount would have no effect. Name another anchor, or set {where}.likelihood to"
            " absolute"
        )
    yield from _check_schedule(where, stage)
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


def _check_guard(where: str, stage: StageConfig) -> Iterator[str]:
    kl, guard, usual = stage.kl, stage.guard, GuardConfig()
    held = kl.direction != "none" and kl.target is not None
    if held and kl.coefficient == 0:
        yield (
            f"{where}.kl.target = {kl.target:g}: a coefficient of 0 stays 0 however it is"
            f" multiplied. Set {where}.kl.coefficient to where it should start"
        )
    in_loss = kl.direction in ("repel", "attract")
    if guard.action == "lower" and (held or not in_loss or kl.coefficient == 0):
        reason = "kl.target would raise it again" if held else "this stage's loss has no divergence"
        yield (
            f"{where}.guard.action = 'lower': there is no coefficient to lower, {reason}. Use stop"
        )
    idle = [("lowerings", "lower")] if guard.action != "lower" else []
    idle += [("window", "stop or lower")] if guard.action == "off" else []
    for key, wanted in idle:
        value = getattr(guard, key)
        if value != getattr(usual, key):
            yield (
                f"{where}.guard.{key} = {value} has no effect with action = {guard.action!r}."
                f" Leave it out, or set {where}.guard.action to {wanted}"
            )


def _check_rewards(config: RunConfig) -> Iterator[str]:
    if not config.rewards:
        yield "rewards = []: there is nothing to learn from. Name at least one"
    for number, reward in enumerate(config.rewards):
        where, written = f"rewards.{number}", reward.model_fields_set
        if (reward.name is None) == (reward.call is None):
            yield (
                f"{where}: one of name and call says what is paid. Write a name alone, or"
                " {call: rewards.py:FUNCTION, weight: 0.5}"
            )
            return
        if reward.weight == 0:
            yield f"{where}.weight = 0: {reward.title} would have no effect. Leave it out"
        if idle := [key for key in ("seconds", "memory_gb") if reward.name and key in written]:
            yield (
                f"{where}.{idle[0]}: {reward.name} is no function of yours, which alone is kept to"
                " it. Leave it out"
            )
        if reward.call is not None and reward.title in (*get_args(RewardName), "discount"):
            yield (
                f"{where}.call: {reward.title} is the name of a reward of ours, and results are"
                " kept by name. Give the function another"
            )
    if {"accuracy", "soft_accuracy"} <= {reward.title for reward in config.rewards}:
        yield (
            "rewards: accuracy and soft_accuracy pay for the same letters. Keep one, with a weight"
            " if it should pay more"
        )
    if len({reward.title for reward in config.rewards}) < len(config.rewards):
        yield "rewards: the same reward is named twice. Name each once"


def _check_rollout(config: RunConfig) -> Iterator[str]:
    rollout = config.rollout
    if rollout.sleep and rollout.max_staleness:
        yield (
            f"rollout.sleep = True: with rollout.max_staleness = {rollout.max_staleness} engines"
            " sample while the learner works. Set rollout.max_staleness to 0, or leave it out"
        )
    if rollout.in_flight and rollout.max_staleness == 0:
        yield (
            "rollout.in_flight = True has no effect with rollout.max_staleness = 0: nothing is"
            " sampled while new weights arrive. Set rollout.max_staleness to 1 or more, or leave it"
            " out"
        )
    if (
        rollout.tensor_parallel > 1
        and config.weights.path == "ipc"
        and config.cluster.device == "cuda"
    ):
        yield (
            f"rollout.tensor_parallel = {rollout.tensor_parallel}: an engine over several GPUs"
            " shares none with the learner, whose memory weights.path = 'ipc' would map. Use"
            " weights.path = auto"
        )
    begun = max(units_begun(config, stage) for stage in config.stages)
    if rollout.units_at_once > 1 and begun <= rollout.workers:
        yield (
            f"rollout.units_at_once = {rollout.units_at_once} has no effect: no step of this run"
            f" makes more than {begun} units at a time, and rollout.workers = {rollout.workers}"
            " take one each. Set rollout.prompts_together to less, or leave it out"
        )


def units_begun(config: RunConfig, stage: StageConfig) -> int:
    """The most units of a stage that can be under way or waiting at the same time."""
    rollout = config.rollout
    together = rollout.prompts_together or -(-stage.prompts_per_step // rollout.workers)
    units = -(-stage.prompts_per_step // together)
    # a step that may be refilled begins after the one before is sampled
    return units * (1 if config.sampling.refill else 1 + rollout.max_staleness)


def _check_data(config: RunConfig) -> Iterator[str]:
    video = config.video
    for low, high in (
        ("min_frames", "max_frames"),
        ("min_pixels", "max_pixels"),
        ("picture_min_pixels", "picture_max_pixels"),
    ):
        smallest, largest = getattr(video, low), getattr(video, high)
        if smallest > largest:
            yield (f"video.{low} = {smallest} is more than video.{high} = {largest}. Swap them")
    if config.data.category == "given" and config.data.probes != PROBES:
        yield (
            f"data.probes = {list(config.data.probes)} has no effect with data.category = 'given':"
            " nothing is probed. Set data.category to probe, or leave it out"
        )
    if config.data.validation_likeliest and config.data.validation is None:
        yield (
            "data.validation_likeliest = True has no effect without data.validation: nothing is"
            " answered. Name a file of questions, or leave it out"
        )


def _check_pinned(config: RunConfig) -> Iterator[str]:
    for name in config.pinned:
        if name not in config.hub_names:
            yield (
                f"pinned: {name} is no model of this run, or a folder of that name lies here. Leave"
                " it out, or give the command from elsewhere"
            )


def _check_out(config: RunConfig) -> Iterator[str]:
    existing = config.out
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        yield (f"out = '{config.out}': {existing} is a file. Name a folder: out=runs/NAME")
    elif not os.access(existing, os.W_OK):
        yield (f"out = '{config.out}': no right to write in {existing}. Name another: out=DIR")
