"""What makes an update impossible to run as it is configured."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import get_args

from videothinker.config.learner import LearnerConfig, Part
from videothinker.config.lora import BESIDE, LINEARS, LoraConfig
from videothinker.config.settings import RunConfig


def check_learner(config: RunConfig) -> Iterator[str]:
    """Pairs of settings of the update, or of it and others, that cannot hold together."""
    learner = config.learner
    if learner.offload and learner.zero_stage == 0:
        yield (
            "learner.offload = True: with learner.zero_stage = 0 every rank keeps its optimizer"
            " whole and on its device. Use learner.zero_stage = 2 or 3"
        )
    if set(learner.freeze) == set(get_args(Part)):
        yield (
            "learner.freeze names every part of the model: nothing is left to train. Leave one out"
        )
    yield from _check_objective(config)
    yield from _check_overlap(config)
    yield from _check_scorers(config)
    if learner.lora is not None:
        yield from _check_lora(config, learner.lora)
    elif config.rollout.adapters != "auto":
        yield (
            f"rollout.adapters = {config.rollout.adapters!r} has no effect without learner.lora:"
            " whole weights are trained. Set learner.lora, or leave it out"
        )


def _check_objective(config: RunConfig) -> Iterator[str]:
    learner, usual = config.learner, LearnerConfig()
    for key in ("ratio", "clip"):
        value = getattr(learner, key)
        if value != getattr(usual, key) and learner.updates_per_step == 1:
            yield (
                f"learner.{key} = {value!r} has no effect with learner.updates_per_step = 1: the"
                " policy is the one that was sampled from. Set that to 2 or more, or leave it out"
            )
    if learner.clip != "smooth" and learner.clip_width != usual.clip_width:
        yield (
            f"learner.clip_width = {learner.clip_width:g} has no effect with learner.clip ="
            f" {learner.clip!r}. Set learner.clip to smooth, or leave it out"
        )
    if learner.ratio == "sequence" and learner.aggregation != "sequence":
        yield (
            f"learner.ratio = 'sequence' with learner.aggregation = {learner.aggregation!r}: a"
            " completion has one ratio, and counts as one. Use learner.aggregation = sequence"
        )
    if learner.ratio == "sequence" and learner.clip == "smooth":
        yield (
            "learner.ratio = 'sequence' with learner.clip = 'smooth': it looks at the probability"
            " of each token. Use learner.ratio = token"
        )
    for number, stage in enumerate(config.stages):
        together = learner.ranks * learner.updates_per_step
        if learner.updates_per_step > 1 and stage.prompts_per_step % together:
            yield (
                f"stages.{number}.prompts_per_step = {stage.prompts_per_step} cannot be shared"
                f" evenly by learner.ranks = {learner.ranks} in learner.updates_per_step ="
                f" {learner.updates_per_step} parts. Use a multiple of {together}"
            )


def _check_overlap(config: RunConfig) -> Iterator[str]:
    """What is learned from a group ahead of the others has to follow from that group alone."""
    learner, rollout = config.learner, config.rollout
    of_all = "what that needs is known when the last group is there"
    for key, value, fits, why in (
        ("learner.updates_per_step", learner.updates_per_step, (1,), of_all),
        ("learner.aggregation", learner.aggregation, ("sequence", "budget"), of_all),
        ("advantage.scale", config.advantage.scale, ("std", "none"), of_all),
        ("sampling.refill", config.sampling.refill, (0,), of_all),
        ("rollout.sleep", rollout.sleep, (False,), "engines have the card until all is sampled"),
    ):
        if learner.overlap and value not in fits:
            yield (
                f"learner.overlap = True with {key} = {value!r}: {why}. Leave learner.overlap out,"
                f" or set {key} to {str(fits[0]).lower()}"
            )


def _check_lora(config: RunConfig, lora: LoraConfig) -> Iterator[str]:
    learner, rollout = config.learner, config.rollout
    if learner.freeze:
        yield (
            f"learner.freeze = {list(learner.freeze)} has no effect with learner.lora: no part's"
            " own weights are trained. Leave it out; learner.lora.targets says what has an adapter"
        )
    for target in lora.targets:
        if target not in LINEARS:
            close = difflib.get_close_matches(target, LINEARS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(LINEARS)}"
            yield f"learner.lora.targets: {target!r} is no matrix of the language model.{hint}"
    if len({*lora.targets}) < len(lora.targets):
        yield "learner.lora.targets: the same matrix is named twice. Name each once"
    if rollout.adapters != "request":
        return
    for key, value, why in (
        ("learner.lora.vision", lora.vision, "vLLM has no room for adapters in the vision tower"),
        ("rollout.sleep", rollout.sleep, "an engine that wakes has to have its weights sent"),
        ("learner.lora.rank", lora.rank > BESIDE[-1] and lora.rank, "vLLM has room for 512"),
    ):
        if value:
            yield (
                f"rollout.adapters = 'request' with {key} = {value}: {why}. Use rollout.adapters ="
                " merged, or leave it out"
            )


def _check_scorers(config: RunConfig) -> Iterator[str]:
    if config.cluster.scorers:
        return
    if config.learner.lora is None:
        yield (
            "cluster.scorers = 0: the learner scores where anchor and policy are adapters of the"
            " model that it has. Set learner.lora, or 1 or more scorers"
        )
    elif config.learner.zero_stage == 3:
        yield (
            "cluster.scorers = 0 with learner.zero_stage = 3: no rank of the learner has a whole"
            " model to score with. Use learner.zero_stage = 2, or 1 or more scorers"
        )
