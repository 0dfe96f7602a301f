"""What makes a well-typed configuration impossible to run: keys that disagree, files that lack."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from videothinker.config.checks.learner import check_learner
from videothinker.config.checks.stages import check_stages
from videothinker.config.rewards import RewardName
from videothinker.config.settings import PROBES, RunConfig, StageConfig, adapter_way


def cross_checks(config: RunConfig) -> Iterator[str]:
    """Every pair of settings that cannot hold together, as a sentence for the user."""
    yield from check_stages(config)
    yield from _check_rewards(config)
    yield from check_learner(config)
    yield from _check_rollout(config)
    yield from _check_drafts(config)
    yield from _check_data(config)
    yield from _check_pinned(config)
    yield from _check_out(config)
    yield from _check_copy(config)
    if len(set(config.report_to)) < len(config.report_to):
        yield "report_to: the same tracker is named twice. Name each once"


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
        if reward.call is not None and reward.title in (*get_args(RewardName), "deduction"):
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


def _check_drafts(config: RunConfig) -> Iterator[str]:
    rollout, lora = config.rollout, config.learner.lora
    if not rollout.drafts:
        return
    start = f"rollout.drafts = {rollout.drafts}"
    if rollout.prompts_together is not None:
        yield (
            f"{start}: what an engine guesses, and with it the samples of a seed, depends on what"
            " it sampled before, which rollout.prompts_together promises it does not. Leave one out"
        )
    if rollout.tensor_parallel > 1:
        yield (
            f"{start}: an engine over several processes has no drafts. Set"
            " rollout.tensor_parallel to 1, or leave it out"
        )
    if lora is not None and adapter_way(rollout, lora, config.cluster.device) == "request":
        yield (
            f"{start}: an engine with an adapter beside its weights has no drafts. Use"
            " rollout.adapters = merged, or leave it out"
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


def _check_copy(config: RunConfig) -> Iterator[str]:
    if (address := config.copy_to) is None:
        return
    parts = urlsplit(address)
    if not parts.scheme or "://" not in address:
        yield (
            f"copy_to = {address!r}: not an address. Name one such as s3://bucket/run, or"
            " file:///mnt/share/run for a folder"
        )
    if parts.password:
        yield (
            "copy_to: has a password in it, which config.yaml would show. Leave it to the"
            " environment, as the storage's library reads it"
        )
    if parts.scheme == "file" and Path(parts.path).is_relative_to(config.out):
        yield f"copy_to = {address!r}: lies in out, which it copies. Name another place"
