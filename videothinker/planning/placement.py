"""(configuration, model's shape, machines) -> the layout to run in, or what would have to change.

A pure function, used by `videothinker plan` for machines that may not exist yet and by the launcher
for those it found. How it decides is in docs/placement.md.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from videothinker.config.settings import RunConfig
from videothinker.errors import PlacementError
from videothinker.model.shape import ModelShape
from videothinker.planning.layout import (
    MARGIN,
    ROLES,
    Layout,
    Machine,
    cache_too_small,
    crew_sizes,
    layouts,
    on_gpus,
    owners_of,
)

GPU_SIZES = (16, 24, 32, 40, 48, 80, 96, 141, 180)
HOST_SIZES = (8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048)
"""GB that are sold."""
MOST_MORE_GPUS = 8
FEWEST_TOKENS = 128
WORTH_SAYING = 0.95
"""A change is proposed where a step takes at most so much of its present time."""
NAMED = 5
"""Proposals at most, so that they fit into a line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What could be different about a configuration or its machines."""

    settings: dict[str, Any] = field(default_factory=dict)
    """By dotted key."""
    more_gpus: int = 0
    """In the first machine."""
    gpu_gb: float | None = None
    host_gb: float | None = None

    def __str__(self) -> str:
        """Settings as the command line takes them."""
        texts = [f"{key}={json.dumps(value)}" for key, value in self.settings.items()]
        if self.more_gpus:
            texts.append(f"{self.more_gpus} more GPU{'s' * (self.more_gpus > 1)}")
        texts += [f"GPUs of {self.gpu_gb:g} GB"] if self.gpu_gb else []
        texts += [f"{self.host_gb:g} GB of host memory"] if self.host_gb else []
        return " and ".join(texts)

    def __or__(self, other: Change) -> Change:
        """Both at once."""
        return Change(
            settings=self.settings | other.settings,
            more_gpus=self.more_gpus or other.more_gpus,
            gpu_gb=self.gpu_gb or other.gpu_gb,
            host_gb=self.host_gb or other.host_gb,
        )

    def apply(
        self, config: RunConfig, machines: Sequence[Machine]
    ) -> tuple[RunConfig, list[Machine]]:
        """The configuration and the machines after it."""
        for key, value in self.settings.items():
            section, _, name = key.partition(".")
            changed = getattr(config, section).model_copy(update={name: value})
            config = config.model_copy(update={section: changed})
        machines = [
            replace(
                machine,
                gpus=machine.gpus + self.more_gpus * (number == 0),
                gpu_gb=self.gpu_gb or machine.gpu_gb,
                host_gb=self.host_gb or machine.host_gb,
            )
            for number, machine in enumerate(machines)
        ]
        return config, machines


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """A change of settings that fits as well, and how long a step then takes."""

    change: Change
    step_seconds: float


def plan(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> Layout:
    """The fastest layout that fits; PlacementError, with what would, where none does."""
    layout = fastest(config, shape, machines)
    if layout is None:
        raise PlacementError(refusal(config, shape, machines))
    return layout


def fastest(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> Layout | None:
    """Of the layouts that fit, the simpler of equals."""
    if cache_too_small(config, shape):
        return None
    fitting = [layout for layout in layouts(config, shape, machines) if layout.excess <= 0]
    return min(fitting, key=lambda layout: layout.step_seconds, default=None)


def grow(
    layout: Layout,
    config: RunConfig,
    shape: ModelShape,
    machines: Sequence[Machine],
    gone: Collection[int] = (),
) -> Layout:
    """With the processes that the configuration now names; whoever sits on a GPU stays there.

    Each new one goes where it fits and a step then takes the shortest time, of equals to the
    emptiest GPU. `machines` begin with the layout's own; nobody new goes to one of `gone`.
    """
    sizes = crew_sizes(config)
    places = {role: layout.places[role][: sizes[role]] for role in ROLES}
    open_to = [index for index, owner in enumerate(owners_of(machines)) if owner not in gone]
    grown = on_gpus(config, shape, machines, places)
    for role in ROLES:
        for _ in range((sizes[role] - len(places[role])) * bool(open_to)):
            tried = [
                (on_gpus(config, shape, machines, places | {role: (*places[role], index)}), index)
                for index in open_to
            ]
            grown, _ = min(tried, key=lambda one: _cost(*one))
            places = grown.places
    if grown.excess > 0 or not open_to:
        raise PlacementError(
            f"no room for {sizes['rollout']} rollout workers and {sizes['anchor']} anchor scorers"
            f" beside what runs: {overfull(grown)}. Ask for fewer, or let another machine with GPUs"
            " join the Ray cluster"
        )
    return grown


def _cost(layout: Layout, device: int) -> tuple[float, ...]:
    """Of a layout in which somebody new sits on the device."""
    times = layout.step_seconds, layout.seconds.overlapped
    return (layout.excess > 0, *times, layout.devices[device].excess)


def refusal(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> str:
    """Why nothing fits, with numbers, and what would."""
    found = remedies(config, shape, machines)
    would = "; ".join(map(str, found))
    advice = f"What would fit: {would}" if found else "No single change or pair of changes helps"
    return (
        f"this run does not fit {described(machines)}: {reason(config, shape, machines)}. {advice}"
    )


def reason(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> str:
    """What is too large, in the layout that comes closest."""
    small = cache_too_small(config, shape)
    if small:
        return small
    possible = layouts(config, shape, machines)
    if not possible:
        count = sum(machine.gpus for machine in machines)
        return f"learner.ranks = {config.learner.ranks} take a GPU each and there are {count}"
    return overfull(min(possible, key=lambda layout: layout.excess))


def overfull(layout: Layout) -> str:
    """What a layout's fullest place would hold."""
    worst = max((*layout.devices, *layout.hosts), key=lambda load: load.excess)
    processes = "; ".join(
        f"{name} {sum(parts.values()):.1f} ({largest_parts(parts)})"
        for name, parts in worst.parts.items()
    )
    return (
        f"{worst.name} would hold {worst.total_gb:.1f} GB and has {worst.usable:.1f} after a margin"
        f" of {MARGIN:.0%}: {processes}"
    )


def largest_parts(parts: dict[str, float], most: int = 3) -> str:
    """The parts that matter."""
    ranked = sorted(parts.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {size:.1f}" for name, size in ranked[:most] if size >= 0.05)


def described(machines: Sequence[Machine]) -> str:
    """Machines in a few words."""
    texts = []
    for machine, count in Counter(machines).items():
        gpus = f"{machine.gpus} GPU{'s' * (machine.gpus != 1)} of {machine.gpu_gb:g} GB"
        text = gpus if machine.gpus else "a machine without GPUs"
        text += "" if machine.host_gb is None else f" and {machine.host_gb:.4g} GB of host memory"
        texts.append(text if count == 1 else f"{count} machines with {text} each")
    return " beside ".join(texts)


def remedies(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> list[Change]:
    """Changes under which `plan` finds a layout: the smallest of each kind, or pairs of kinds where
    none does alone."""

    def first_that_fits(way: Iterable[Change]) -> Change | None:
        return next((one for one in way if fastest(*_asked(one, config, machines, shape))), None)

    ways = [way for way in all_ways(config, machines) if way]
    found = [change for change in map(first_that_fits, ways) if change]
    if not found:
        pairs = (
            first_that_fits(one | other for one, other in itertools.product(*pair))
            for pair in itertools.combinations(ways, 2)
        )
        found = list(itertools.islice((change for change in pairs if change), NAMED))
    return found[:NAMED]


def gains(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> list[Gain]:
    """Changes of settings that fit these machines and save time, the greatest first."""
    now = plan(config, shape, machines).step_seconds
    found = []
    for change in faster_ways(config, machines):
        layout = fastest(*_asked(change, config, machines, shape))
        if layout and layout.step_seconds <= WORTH_SAYING * now:
            found.append(Gain(change=change, step_seconds=layout.step_seconds))
    return sorted(found, key=lambda gain: gain.step_seconds)


def _asked(
    change: Change, config: RunConfig, machines: Sequence[Machine], shape: ModelShape
) -> tuple[RunConfig, ModelShape, list[Machine]]:
    changed, other = change.apply(config, machines)
    return changed, shape, other


def all_ways(config: RunConfig, machines: Sequence[Machine]) -> list[list[Change]]:
    """Kinds of change, those that cost nothing but time first; within each the smallest first."""
    learner, rollout, first = config.learner, config.rollout, machines[0]
    cuda = config.cluster.device == "cuda"
    sharded = {} if learner.zero_stage else {"learner.zero_stage": 2}  # offload needs shards
    frames = (2 * (config.video.max_frames // 2**n // 2) for n in range(1, 8))
    tokens = _halved(config.sampling.max_tokens, FEWEST_TOKENS)
    host = first.host_gb
    return [
        []
        if learner.offload or not cuda
        else [Change(settings={"learner.offload": True} | sharded)],
        _settings("learner.gradient_checkpointing", [True] * (not learner.gradient_checkpointing)),
        _settings("learner.zero_stage", [3] * (learner.ranks > 1 and learner.zero_stage < 3)),
        [Change(more_gpus=more) for more in range(1, MOST_MORE_GPUS + 1)] if cuda else [],
        _settings("rollout.cache_gb", _cache_sizes(config)),
        _settings("video.max_frames", [n for n in frames if n >= config.video.min_frames]),
        [Change(gpu_gb=size) for size in GPU_SIZES if size > first.gpu_gb] if cuda else [],
        [] if host is None else [Change(host_gb=size) for size in HOST_SIZES if size > host],
        _settings("learner.offload", [False] * learner.offload),
        _settings("rollout.workers", range(rollout.workers - 1, 0, -1)),
        _settings("learner.ranks", [n for n in _ranks(config) if n != learner.ranks]),
        _settings("sampling.max_tokens", tokens),
    ]


def faster_ways(config: RunConfig, machines: Sequence[Machine]) -> list[Change]:
    """Changes of settings that could save time."""
    learner, rollout = config.learner, config.rollout
    gpus = sum(machine.gpus for machine in machines)
    ways = [
        _settings("learner.offload", [False] * learner.offload),
        _settings("learner.gradient_checkpointing", [False] * learner.gradient_checkpointing),
        _settings("rollout.workers", range(rollout.workers + 1, gpus + 1)),
        _settings("learner.ranks", [n for n in _ranks(config) if learner.ranks < n <= gpus]),
        _settings("rollout.max_staleness", [1] * (not rollout.max_staleness)),
    ]
    return [change for way in ways for change in way]


def _settings(key: str, values: Iterable[Any]) -> list[Change]:
    return [Change(settings={key: value}) for value in values]


def _halved(value: int, least: int) -> list[int]:
    return [value // 2**n for n in range(1, 8) if value // 2**n >= least]


def _cache_sizes(config: RunConfig) -> list[float]:
    """Smaller ones, then larger: a cache may also be too small to start with."""
    size = config.rollout.cache_gb
    return [size / 2**n for n in range(1, 6)] + [size * 2**n for n in range(1, 6)]


def _ranks(config: RunConfig) -> list[int]:
    """Numbers of ranks that share every stage's prompts evenly."""
    prompts = math.gcd(*(stage.prompts_per_step for stage in config.stages))
    return [ranks for ranks in range(1, prompts + 1) if prompts % ranks == 0]
