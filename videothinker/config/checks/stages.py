"""What makes a stage impossible to run as it is configured, its divergence aside."""

from __future__ import annotations

from collections.abc import Iterator

from videothinker.config.checks.draw import check_draw
from videothinker.config.checks.kl import check_kl, check_moving_anchor
from videothinker.config.rewards import RIGHTNESS
from videothinker.config.settings import GuardConfig, RunConfig, StageConfig
from videothinker.types import LABELS


def check_stages(config: RunConfig) -> Iterator[str]:
    """Pairs of settings of a stage, or of it and others, that cannot hold together."""
    names = [stage.name for stage in config.stages]
    titles = [reward.title for reward in config.rewards]
    for number, stage in enumerate(config.stages):
        where, earlier = f"stages.{number}", names[:number]
        yield from _check_name(where, stage, earlier)
        yield from check_kl(f"{where}.kl", stage, earlier, names[number:])
        yield from check_moving_anchor(f"{where}.kl", stage, config)
        yield from check_draw(f"{where}.draw", stage.draw, earlier, titles)
        yield from _check_guard(where, stage)
        yield from _check_stage(where, stage, config)
        yield from _check_refill(where, stage, config)
        yield from _check_validation(where, stage, config)
        yield from _check_category(where, stage, config)
        yield from _check_wording(where, stage, config)


def _check_name(where: str, stage: StageConfig, earlier: list[str]) -> Iterator[str]:
    taken = {"base": "the model every stage starts from", "policy": "the one that is trained"}
    if stage.name in taken:
        yield (
            f"{where}.name = {stage.name!r}: that is {taken[stage.name]}. Give the stage another"
            " name"
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
    direction = stage.kl.direction
    if stage.kl.debiases and not {*RIGHTNESS} & {*titles}:
        yield (
            f"{where}.kl.direction = {direction!r}: none of the rewards {', '.join(titles)} is for"
            f" the answer, so nothing would change. Add {' or '.join(RIGHTNESS)} to rewards"
        )
    if direction == "unlikely" and stage.replay:
        yield (
            f"{where}.replay = {stage.replay} with {where}.kl.direction = 'unlikely': what another"
            " model gave says nothing of what is likely to the policy. Leave one of them out"
        )
    if direction == "product" and config.learner.updates_per_step > 1:
        yield (
            f"{where}.kl.direction = 'product' with learner.updates_per_step ="
            f" {config.learner.updates_per_step}: a later update's ratio would be one of the policy"
            " alone. Use 1"
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
