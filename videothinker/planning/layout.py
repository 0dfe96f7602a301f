"""Every way to seat a run's processes on given machines, each with its memory and its time.

A layout that does not fit is still a layout; `placement.plan` chooses.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from videothinker.config.settings import RunConfig
from videothinker.model.shape import ModelShape
from videothinker.planning.adapters import anchored_stages
from videothinker.planning.memory import host_parts, total
from videothinker.planning.passes import Parts
from videothinker.planning.spans import span, wide_seats
from videothinker.planning.speed import StepSeconds, Workforce, chip_of, predict
from videothinker.planning.turns import Needs, SeatedRole, turns

SEATED: tuple[SeatedRole, ...] = ("learner", "rollout", "anchor")
"""Whom a plan gives a seat; the driver and the loaders need none."""
LayoutKind = Literal["split", "colocated", "scale_out", "cpu"]
Places = dict[SeatedRole, tuple[int, ...]]
MARGIN = 0.05
"""Of a device or a machine: never planned for, since allocators leave gaps. Assumed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """One machine of a cluster. GB are 1e9 bytes."""

    gpus: int = 0
    gpu_gb: float = 0.0
    """Of each."""
    host_gb: float | None = None
    """None is unknown, and not checked."""
    cpus: int | None = None
    """None is unknown, and taken for enough; matters only where there are no GPUs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What a device or a machine's own memory holds at its fullest."""

    name: str
    parts: dict[str, Parts]
    """By process, then by part."""
    limit_gb: float
    """Infinite where unknown."""
    turns: tuple[float, ...] = ()
    """Of a learner and engines that sleep while it works, the total while they are awake and while
    they sleep; `parts` are those of the larger."""

    @property
    def total_gb(self) -> float:
        return sum(map(total, self.parts.values()))

    @property
    def usable(self) -> float:
        return self.limit_gb * (1 - MARGIN)

    @property
    def excess(self) -> float:
        """By how much it does not fit; not above zero where it does."""
        return self.total_gb - self.usable

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which knows no infinity."""
        limit = None if math.isinf(self.limit_gb) else self.limit_gb
        total_gb = self.total_gb
        load = {"name": self.name, "limit_gb": limit, "total_gb": total_gb, "parts": self.parts}
        return load | {"turns_gb": self.turns}


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Who runs where."""

    places: Places
    """The device of each process, as an index into `devices`, of an engine over several the first;
    on CPUs the machine's."""
    engine_gpus: int
    """Devices of an engine, from its place on; 1 on CPUs."""
    engine_share: float
    """The largest part of its device that an engine takes: vLLM's gpu_memory_utilization, without
    which it refuses to start beside others. 0 on CPUs."""
    devices: tuple[Load, ...]
    """Every GPU, used or not, machine by machine."""
    owners: tuple[int, ...]
    """The machine of each device."""
    hosts: tuple[Load, ...]
    seconds: StepSeconds
    overlapped: bool
    """Which of the two totals the configuration asks for."""
    chip: str
    """What its speed was taken for."""

    @property
    def kind(self) -> LayoutKind:
        if not self.devices:
            return "cpu"
        if not alone(self.places, "learner"):
            return "colocated"
        return "split" if len({self.owners[index] for index in self.used}) == 1 else "scale_out"

    @property
    def shared(self) -> bool:
        """Whether an engine is where the learner is."""
        return bool({*self.places["learner"]} & {*self.places["rollout"]})

    @property
    def step_seconds(self) -> float:
        """Predicted, as configured."""
        return self.seconds.overlapped if self.overlapped else self.seconds.on_policy

    @property
    def excess(self) -> float:
        """GB by which the worst place does not fit."""
        return max(load.excess for load in (*self.devices, *self.hosts))

    @property
    def used(self) -> list[int]:
        """The devices that somebody sits on."""
        return [index for bundle in self.bundles for index in bundle]

    @property
    def bundles(self) -> list[range]:
        """The same, those of an engine together."""
        if not self.devices:
            return []
        engines = [span(first, self.engine_gpus) for first in {*self.places["rollout"]}]
        others = {*self.places["learner"], *self.places["anchor"]}
        alone = [span(index, 1) for index in others if not any(index in one for one in engines)]
        return sorted(engines + alone, key=lambda bundle: bundle.start)

    def device(self, name: str) -> int:
        """Of the process with a name such as `rollout-1`, the first where it has several."""
        role, _, number = name.rpartition("-")
        return {str(known): places for known, places in self.places.items()}[role][int(number)]

    def seating(self) -> dict[str, Any]:
        """In a few words: the kind, and the device of each process by role."""
        names = [load.name for load in self.devices or self.hosts]
        seats = {role: [names[place] for place in self.places[role]] for role in SEATED}
        if self.engine_gpus > 1:
            last = self.engine_gpus - 1
            ends = [names[place + last].rpartition(" ")[2] for place in self.places["rollout"]]
            wide = zip(seats["rollout"], ends, strict=True)
            seats["rollout"] = [f"{first} to {end}" for first, end in wide]
        return {"kind": self.kind} | seats

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "places": self.places,
            "engine_gpus": self.engine_gpus,
            "engine_share": self.engine_share,
            "devices": [load.as_dict() for load in self.devices],
            "hosts": [load.as_dict() for load in self.hosts],
            "seconds": asdict(self.seconds),
            "step_seconds": self.step_seconds,
            "speeds_of": self.chip,
        }


def layouts(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> list[Layout]:
    """Every layout that there are devices for, fitting or not, the simplest first."""
    if config.cluster.device == "cpu":
        places: Places = {role: (0,) * size for role, size in process_counts(config).items()}
        return [seated(config, shape, machines[:1], places)]
    owners = owners_of(machines)
    ways = seatings(config, len(owners))
    if config.rollout.tensor_parallel > 1:
        counts = tuple(process_counts(config).values())
        wide = wide_seats(config, counts, owners)
        ways = (dict(zip(SEATED, seats, strict=True)) for seats in wide)
    found = [seated(config, shape, machines, places) for places in ways]
    return [one for one in found if one.shared or not config.rollout.sleep]


def owners_of(machines: Sequence[Machine]) -> tuple[int, ...]:
    """The machine of each device."""
    counts = [machine.gpus if machine.gpu_gb else 0 for machine in machines]
    return tuple(number for number, count in enumerate(counts) for _ in range(count))


def process_counts(config: RunConfig) -> dict[SeatedRole, int]:
    anchors = config.cluster.scorers if anchored_stages(config) else 0
    return {"learner": config.learner.ranks, "rollout": config.rollout.workers, "anchor": anchors}


def seatings(config: RunConfig, count: int) -> Iterator[Places]:
    """Where each process may sit, as indices of so many devices.

    NCCL takes one rank a device. Engines go to devices without one, and back to the first of those
    when they run out; anchors go on from there. Sharing, engines start from the last device.
    """
    ranks, engines, anchors = process_counts(config).values()
    for free in (range(ranks, count), range(count)[::-1]):
        if free and ranks <= count:
            others = tuple(free[number % len(free)] for number in range(engines + anchors))
            yield {
                "learner": tuple(range(ranks)),
                "rollout": others[:engines],
                "anchor": others[engines:],
            }


def seated(
    config: RunConfig, shape: ModelShape, machines: Sequence[Machine], places: Places
) -> Layout:
    """One way to seat the processes, with its memory, by turns at the fuller one, and its time."""
    awake, *asleep = (
        holding(config, shape, machines, places, needs) for needs in turns(config, shape)
    )
    for other in asleep:
        pairs = zip(awake.devices, other.devices, strict=True)
        hosts = zip(awake.hosts, other.hosts, strict=True)
        awake = replace(awake, devices=fuller(pairs), hosts=fuller(hosts))
    return awake


def fuller(pairs: Iterable[tuple[Load, Load]]) -> tuple[Load, ...]:
    """Of each pair the larger, with both totals where it has a learner and engines."""
    found = []
    for awake, asleep in pairs:
        both = {"learner", "rollout"} <= {name.partition(" ")[0] for name in awake.parts}
        larger = max(awake, asleep, key=lambda load: load.total_gb)
        both_gb = (awake.total_gb, asleep.total_gb) if both else ()
        found.append(replace(larger, turns=both_gb))
    return tuple(found)


def holding(
    config: RunConfig,
    shape: ModelShape,
    machines: Sequence[Machine],
    places: Places,
    needs: Needs,
) -> Layout:
    """Processes in their seats that hold what each role needs. Without GPUs all of it is in the
    memory of the only machine.
    """
    owners = owners_of(machines) if config.cluster.device == "cuda" else ()
    gpus = {"rollout": config.rollout.tensor_parallel if owners else 1}
    held = [
        {
            f"{role} {number}": {part: size for part, size in needs[role].items() if size}
            for role in SEATED
            for number, place in enumerate(places[role])
            if index in span(place, gpus.get(role, 1))
        }
        for index in range(len(owners) or 1)
    ]
    where = "machine {0} GPU {1}" if len(machines) > 1 else "GPU {1}"
    devices = tuple(
        Load(
            name=where.format(owner, index - owners.index(owner)),
            parts=held[index],
            limit_gb=machines[owner].gpu_gb,
        )
        for index, owner in enumerate(owners)
    )
    hosts = tuple(
        Load(
            name=f"machine {number} memory",
            parts=({} if owners else held[0])
            | {"host": on_host(config, shape, places, owners or (0,), number)},
            limit_gb=math.inf if machine.host_gb is None else machine.host_gb,
        )
        for number, machine in enumerate(machines)
    )
    engines = [index for first in places["rollout"] for index in span(first, gpus["rollout"])]
    smallest = min(devices[index].limit_gb for index in engines) if owners else math.inf
    share = total(needs["rollout"]) / smallest
    work = replace(workforce(machines, owners, places), shards=gpus["rollout"])
    return Layout(
        places=places,
        engine_gpus=gpus["rollout"],
        engine_share=min(1.0, math.ceil(share * 100) / 100),
        devices=devices,
        owners=owners,
        hosts=hosts,
        seconds=predict(config, shape, work),
        overlapped=config.rollout.max_staleness > 0,
        chip=work.chip.name,
    )


def on_host(
    config: RunConfig, shape: ModelShape, places: Places, owners: Sequence[int], machine: int
) -> Parts:
    """What one machine's own memory holds."""
    ranks, engines, anchors = (
        sum(owners[index] == machine for index in places[role]) for role in SEATED
    )
    return host_parts(
        config,
        shape,
        ranks=ranks,
        engines=engines,
        anchors=anchors,
        first=machine == 0,
        publishes=machine == owners[places["learner"][0]],
    )


def workforce(machines: Sequence[Machine], owners: Sequence[int], places: Places) -> Workforce:
    """What the time of a step depends on. CPU cores are shared; a GPU has its processes."""
    ranks, engines, anchors = (len(places[role]) for role in SEATED)
    cpus = machines[0].cpus or ranks + engines + anchors
    return Workforce(
        ranks=ranks,
        engines=engines,
        anchors=anchors or ranks,  # who score where nobody else does
        engines_per_device=max(Counter(places["rollout"]).values())
        if owners
        else math.ceil(engines / cpus),
        apart=alone(places, "learner") if owners else cpus >= ranks + engines,
        anchors_apart=alone(places, "anchor") if owners else cpus >= ranks + engines + anchors,
        machines_of_ranks=len({owners[index] for index in places["learner"]}) if owners else 1,
        near={*places["rollout"]} == {places["learner"][0]},
        across=len(machines) > 1,
        chip=chip_of(min((machines[owner].gpu_gb for owner in owners), default=0.0)),
    )


def alone(places: Places, role: SeatedRole) -> bool:
    """Whether a role shares no device with another."""
    others = {place for other in SEATED if other != role for place in places[other]}
    return not others & set(places[role])
