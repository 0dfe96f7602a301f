"""(configuration, model's shape, machines) -> the layout to run in, or what would have to change.

A pure function, used by `videothinker plan` for machines that may not exist yet and by the launcher
for those it found. How it decides is in docs/placement.md.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from videothinker.config.section import Section
from videothinker.config.settings import RunConfig
from videothinker.errors import InputError, PlacementError
from videothinker.model.shape import ModelShape
from videothinker.planning.adapters import anchored_stages, by_path
from videothinker.planning.layout import (
    MARGIN,
    SEATED,
    Layout,
    Load,
    Machine,
    layouts,
    owners_of,
    process_counts,
    seated,
)
from videothinker.planning.memory import cache_gb
from videothinker.planning.passes import GB, Parts
from videothinker.planning.spans import free_spans, span, uneven
from videothinker.planning.turns import SeatedRole

MOST_MORE_GPUS = 8
LARGEST_GPU = 288
"""GB that are sold."""
FEWEST_TOKENS = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Remedy:
    """What could be different, with settings as the command line takes them."""

    text: str
    config: RunConfig
    machines: Sequence[Machine]
    """Those of which a plan is then made."""


def plan(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> Layout:
    """The fastest layout that fits; PlacementError, with what would, where none does."""
    require_spans(config, shape, machines)
    layout = fitting(config, shape, machines)
    if layout is None:
        require_sharing(config, shape, machines)
        would = "; ".join(remedy.text for remedy in remedies(config, shape, machines))
        raise PlacementError(
            f"this run does not fit {described(machines)}: {reason(config, shape, machines)}. "
            + (f"What would fit: {would}" if would else "No single change helps")
        )
    return layout


def require_spans(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> None:
    """InputError where engines cannot be over so many GPUs, however large these are."""
    gpus, cuda = config.rollout.tensor_parallel, config.cluster.device == "cuda"
    if (fault := uneven(config, shape)) is not None:
        raise InputError(fault)
    most = max(machine.gpus for machine in machines)
    if cuda and 1 < gpus > most:
        raise InputError(
            f"rollout.tensor_parallel = {gpus}: an engine's GPUs are on one machine, and none has"
            f" more than {most}. Use less"
        )
    if cuda and gpus > 1 and not layouts(config, shape, machines):
        raise InputError(
            f"rollout.tensor_parallel = {gpus}: an engine shares none of its GPUs, and beside"
            f" learner.ranks = {config.learner.ranks} there are not {gpus} of one machine for each"
            f" of rollout.workers = {config.rollout.workers}. Lower one of the three"
        )


def fitting(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> Layout | None:
    """Of the layouts that fit the fastest, of equals the simplest."""
    if cache_too_small(config, shape):
        return None
    found = [layout for layout in layouts(config, shape, machines) if layout.excess <= 0]
    return min(found, key=lambda layout: layout.step_seconds, default=None)


def require_sharing(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> None:
    """InputError where engines would sleep for nobody."""
    awake = changed(config, {"rollout.sleep": False})
    if not layouts(config, shape, machines) and layouts(awake, shape, machines):
        raise InputError(
            f"rollout.sleep = True has no effect on {described(machines)}: no engine would share a"
            " GPU with the learner. Leave it out"
        )


def cache_too_small(config: RunConfig, shape: ModelShape) -> str:
    """Why vLLM would not start: its cache must hold one sequence of the greatest length."""
    least = config.rollout.max_model_len * shape.cache_bytes(config.model.dtype) / GB
    if cache_gb(config) >= least:
        return ""
    return (
        f"rollout.cache_gb = {config.rollout.cache_gb:g} holds {cache_gb(config):.2f} GB and one"
        f" sequence of rollout.max_model_len = {config.rollout.max_model_len} takes {least:.2f}"
    )


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

    def cost(tried: Layout) -> tuple[float, ...]:
        newest = tried.devices[tried.places[role][-1]]
        return tried.excess > 0, tried.step_seconds, tried.seconds.overlapped, newest.excess

    sizes = process_counts(config)
    places = {role: layout.places[role][: sizes[role]] for role in SEATED}
    owners = owners_of(machines)
    here = [index for index, owner in enumerate(owners) if owner not in gone]
    grown, full = seated(config, shape, machines, places), not here
    for role in SEATED:
        for _ in range(sizes[role] - len(places[role])):
            open_to = open_seats(grown, role, here, owners)
            full = full or not open_to
            ways = [grown.places | {role: (*grown.places[role], index)} for index in open_to]
            grown = min(
                (seated(config, shape, machines, way) for way in ways), key=cost, default=grown
            )
    if grown.excess > 0 or full:
        why = overfull(grown)
        if grown.excess <= 0 and grown.engine_gpus > 1:
            why = f"an engine takes {grown.engine_gpus} GPUs of one machine that nobody else has"
        raise PlacementError(
            f"no room for {sizes['rollout']} rollout workers and {sizes['anchor']} anchor scorers"
            f" beside what runs: {why}. Ask for fewer, or let another machine with GPUs join the"
            " Ray cluster"
        )
    return grown


def open_seats(
    layout: Layout, role: SeatedRole, here: Sequence[int], owners: Sequence[int]
) -> list[int]:
    """The devices, of these, where one more of a role may sit if memory allows."""
    gpus = layout.engine_gpus
    if gpus == 1:
        return list(here)
    if role == "rollout":
        free = {*here} - {*layout.used}
        return [one.start for one in free_spans(free, owners, gpus)]
    engines = [span(first, gpus) for first in layout.places["rollout"]]
    return [index for index in here if not any(index in engine for engine in engines)]


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


def largest_parts(parts: Parts, most: int = 3) -> str:
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


def remedies(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> list[Remedy]:
    """The first setting with which these machines do, and the least machines that do with these
    settings."""
    settings = (
        Remedy(
            text=" ".join(f"{key}={json.dumps(value)}" for key, value in change.items()),
            config=changed(config, change),
            machines=machines,
        )
        for change in other_settings(config)
    )
    found = (one for one in settings if fitting(one.config, shape, machines))
    return [*itertools.islice(found, 1), *other_machines(config, shape, machines)]


def changed(config: RunConfig, settings: dict[str, Any]) -> RunConfig:
    """The configuration with other values, by dotted key."""
    for key, value in settings.items():
        section, _, name = key.partition(".")
        part: Section = getattr(config, section)
        part = part.model_validate(part.model_dump() | {name: value})
        config = config.model_copy(update={section: part})
    return config


def other_settings(config: RunConfig) -> Iterator[dict[str, Any]]:
    """What could be set otherwise, those first that cost nothing but time, of each the smallest
    change first. Some change nothing, which does no harm."""
    learner, rollout, video = config.learner, config.rollout, config.video
    if config.cluster.device == "cuda":
        sharded = {} if learner.zero_stage else {"learner.zero_stage": 2}  # offload needs shards
        yield {"learner.offload": True} | sharded
    prompts = math.gcd(*(stage.prompts_per_step for stage in config.stages))
    frames = (2 * (video.max_frames // 2**n // 2) for n in range(1, 8))
    tokens = (config.sampling.max_tokens // 2**n for n in range(1, 8))
    settings: dict[str, Iterable[Any]] = {
        "learner.gradient_checkpointing": [True],
        "learner.zero_stage": [3],
        "rollout.sleep": [True] * (rollout.max_staleness == 0),
        # smaller, then larger: a cache may also be too small to start with
        "rollout.cache_gb": [rollout.cache_gb * 2**n for n in (-1, -2, -3, -4, -5, 1, 2, 3, 4, 5)],
        "video.max_frames": [count for count in frames if count >= video.min_frames],
        "learner.offload": [False],
        "rollout.workers": range(rollout.workers - 1, 0, -1),
        "learner.ranks": [ranks for ranks in range(1, prompts + 1) if prompts % ranks == 0],
        "sampling.max_tokens": [count for count in tokens if count >= FEWEST_TOKENS],
    }
    for key, values in settings.items():
        for value in values:
            yield {key: value}
    yield from adapters_instead(config)


def adapters_instead(config: RunConfig) -> Iterator[dict[str, Any]]:
    """An adapter in place of the model, which is another training; the learner scores where it can,
    and where that alone does not do engines sleep, too, with less of a cache."""
    learner, rollout = config.learner, config.rollout
    if learner.lora is not None or learner.freeze:
        return
    change: dict[str, Any] = {"learner.lora": {}}
    stages = anchored_stages(config)
    if stages and learner.zero_stage < 3 and not any(by_path(config, one) for one in stages):
        change |= {"cluster.scorers": 0}
    yield change
    if rollout.max_staleness == 0 and not rollout.sleep:
        change = change | {"rollout.sleep": True}
        yield change
    yield change | {"rollout.cache_gb": rollout.cache_gb / 4}


def other_machines(
    config: RunConfig, shape: ModelShape, machines: Sequence[Machine]
) -> Iterator[Remedy]:
    """More host memory; where that alone is not enough, more GPUs, on which engines need not sleep,
    and larger ones."""
    if cache_too_small(config, shape):
        return
    awake = changed(config, {"rollout.sleep": False})
    for more, tried in itertools.product(range(MOST_MORE_GPUS + 1), (config, awake)):
        asked = with_gpus(machines, more)
        if layout := fitting(tried, shape, asked):
            yield enough(tried, layout, asked, machines, config)
            if more == 0:
                return
            break
    missing = max(0, config.learner.ranks - sum(machine.gpus for machine in machines))
    asked = with_gpus(machines, missing, math.inf)
    layout = emptiest(config, shape, asked)
    smallest = min((machine.gpu_gb for machine in machines if machine.gpus), default=0.0)
    if smallest < needed(layout.devices) <= LARGEST_GPU:
        yield enough(config, layout, asked, machines, config)


def with_gpus(machines: Sequence[Machine], more: int, gpu_gb: float = 0.0) -> list[Machine]:
    """More GPUs in the first machine, all of another size, as much host memory as it takes."""
    first, *others = machines
    first = replace(first, gpus=first.gpus + more)
    return [replace(one, gpu_gb=gpu_gb or one.gpu_gb, host_gb=None) for one in (first, *others)]


def emptiest(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> Layout:
    """Of all layouts the one whose fullest GPU holds least."""
    return min(layouts(config, shape, machines), key=lambda layout: needed(layout.devices))


def needed(loads: Sequence[Load]) -> int:
    """GB that each device or machine must have to hold the fullest of these."""
    return math.ceil(max(load.total_gb for load in loads) / (1 - MARGIN))


def enough(
    config: RunConfig,
    layout: Layout,
    asked: Sequence[Machine],
    machines: Sequence[Machine],
    given: RunConfig,
) -> Remedy:
    """What a layout takes more than there is, and what it takes otherwise than was given."""
    more, larger = asked[0].gpus - machines[0].gpus, math.isinf(asked[0].gpu_gb)
    host = needed(layout.hosts)
    texts = [f"{more} more GPU{'s' * (more > 1)}"] if more else []
    if larger:
        gpu = needed(layout.devices)
        asked = [replace(one, gpu_gb=gpu) for one in asked]
        texts.append(f"GPUs of at least {gpu} GB")
    if any(one.host_gb is not None and one.host_gb < host for one in machines):
        asked = [replace(one, host_gb=host) for one in asked]
        texts.append(f"at least {host} GB of host memory")
    if config.rollout.sleep != given.rollout.sleep:
        texts.append("rollout.sleep=false")
    return Remedy(text=" and ".join(texts), config=config, machines=asked)
