"""Every way to seat a run's processes on given machines, each with its memory and its time.

A layout that does not fit is still a layout; `placement.plan` chooses.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from videothinker.config.settings import RunConfig
from videothinker.model.shape import ModelShape
from videothinker.planning.memory import (
    GB,
    Need,
    anchor_need,
    anchored_stages,
    cache_gb,
    engine_need,
    host_need,
    learner_need,
)
from videothinker.planning.speed import Crew, StepSeconds, chip_of, predict

Role = Literal["learner", "rollout", "anchor"]
Kind = Literal["split", "colocated", "scale_out", "cpu"]
Parts = dict[str, float]
Places = dict[Role, tuple[int, ...]]
ROLES: tuple[Role, ...] = ("learner", "rollout", "anchor")
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
    """By process, then by part, in GB."""
    limit_gb: float
    """Infinite where unknown."""

    @property
    def total_gb(self) -> float:
        """All processes."""
        return sum(map(total, self.parts.values()))

    @property
    def usable(self) -> float:
        """What may be planned for."""
        return self.limit_gb * (1 - MARGIN)

    @property
    def excess(self) -> float:
        """By how much it does not fit; not above zero where it does."""
        return self.total_gb - self.usable


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Who runs where."""

    places: Places
    """The device of each process, as an index into `devices`; on CPUs the machine's."""
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
    def kind(self) -> Kind:
        """In a word."""
        if not self.devices:
            return "cpu"
        ranks, others = set(self.places["learner"]), others_of(self.places)
        if ranks & others:
            return "colocated"
        return (
            "split" if len({self.owners[index] for index in ranks | others}) == 1 else "scale_out"
        )

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
        return sorted({*self.places["learner"], *others_of(self.places)}) if self.devices else []

    def device(self, name: str) -> int:
        """Of the process with a name such as `rollout-1`."""
        role, _, number = name.rpartition("-")
        return {str(known): places for known, places in self.places.items()}[role][int(number)]

    def seating(self) -> dict[str, Any]:
        """In a few words: the kind, and the device of each process by role."""
        names = [load.name for load in self.devices or self.hosts]
        return {"kind": self.kind} | {
            role: [names[place] for place in self.places[role]] for role in ROLES
        }

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": self.kind,
            "places": self.places,
            "engine_share": self.engine_share,
            "devices": [load_dict(load) for load in self.devices],
            "hosts": [load_dict(load) for load in self.hosts],
            "seconds": asdict(self.seconds),
            "step_seconds": self.step_seconds,
            "speeds_of": self.chip,
        }


def cache_too_small(config: RunConfig, shape: ModelShape) -> str:
    """Why vLLM would not start: its cache must hold one sequence of the greatest length."""
    least = config.rollout.max_model_len * shape.cache_bytes(config.model.dtype) / GB
    if cache_gb(config) >= least:
        return ""
    return (
        f"rollout.cache_gb = {config.rollout.cache_gb:g} holds {cache_gb(config):.2f} GB and one"
        f" sequence of rollout.max_model_len = {config.rollout.max_model_len} takes {least:.2f}"
    )


def layouts(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> list[Layout]:
    """Every layout that there are devices for, fitting or not, the simplest first."""
    if config.cluster.device == "cpu":
        return [on_cpus(config, shape, machines)]
    count = len(owners_of(machines))
    return [on_gpus(config, shape, machines, places) for places in seatings(config, count)]


def owners_of(machines: Sequence[Machine]) -> tuple[int, ...]:
    """The machine of each device."""
    return tuple(
        number
        for number, machine in enumerate(machines)
        for _ in range(machine.gpus if machine.gpu_gb else 0)
    )


def crew_sizes(config: RunConfig) -> dict[Role, int]:
    """Processes of each role."""
    anchors = config.cluster.scorers if anchored_stages(config) else 0
    return {"learner": config.learner.ranks, "rollout": config.rollout.workers, "anchor": anchors}


def seatings(config: RunConfig, count: int) -> Iterator[Places]:
    """Where each process may sit, as indices of so many devices.

    NCCL takes one rank a device. Engines go to devices without one, and back to the first of those
    when they run out; anchors go on from there. Sharing, engines start from the last device.
    """
    sizes = crew_sizes(config)
    ranks, engines, anchors = sizes["learner"], sizes["rollout"], sizes["anchor"]
    if not 0 < ranks <= count:
        return
    first = tuple(range(ranks))
    rest = range(ranks, count)
    if rest:
        others = [rest[number % len(rest)] for number in range(engines + anchors)]
        yield seats(first, others, engines)
    others = [count - 1 - number % count for number in range(engines + anchors)]
    yield seats(first, others, engines)


def seats(ranks: tuple[int, ...], others: Sequence[int], engines: int) -> Places:
    """Devices by role: ranks, then engines, then anchors."""
    return {"learner": ranks, "rollout": tuple(others[:engines]), "anchor": tuple(others[engines:])}


def others_of(places: Places) -> set[int]:
    """Devices of whoever is not the learner."""
    return {*places["rollout"], *places["anchor"]}


def on_gpus(
    config: RunConfig, shape: ModelShape, machines: Sequence[Machine], places: Places
) -> Layout:
    """One way to seat the processes, with its memory and its time."""
    needs, owners = needs_of(config, shape), owners_of(machines)
    devices = tuple(
        Load(
            name=device_name(machines, owners, index),
            parts={name: needs[role].parts() for role, name in processes(places, index)},
            limit_gb=machines[owner].gpu_gb,
        )
        for index, owner in enumerate(owners)
    )
    publisher = owners[places["learner"][0]]
    hosts = tuple(
        host_load(config, shape, machine, number, places_on(places, owners, number), publisher)
        for number, machine in enumerate(machines)
    )
    crowds = Counter(places["rollout"])
    crew = Crew(
        ranks=len(places["learner"]),
        engines=len(places["rollout"]),
        anchors=max(1, len(places["anchor"])),
        engines_per_device=max(crowds.values()),
        apart=not set(places["learner"]) & others_of(places),
        anchors_apart=not set(places["anchor"]) & {*places["learner"], *places["rollout"]},
        machines_of_ranks=len({owners[index] for index in places["learner"]}),
        gpu_gb=min(machines[owner].gpu_gb for owner in owners),
    )
    return Layout(
        places=places,
        engine_share=rounded_up(
            total(needs["rollout"].parts())
            / min(machines[owners[index]].gpu_gb for index in places["rollout"])
        ),
        devices=devices,
        owners=owners,
        hosts=hosts,
        seconds=predict(config, shape, crew),
        overlapped=config.rollout.max_staleness > 0,
        chip=chip_of(crew.gpu_gb).name,
    )


def device_name(machines: Sequence[Machine], owners: Sequence[int], index: int) -> str:
    """As its machine counts its devices."""
    owner = owners[index]
    name = f"GPU {index - owners.index(owner)}"
    return name if len(machines) == 1 else f"machine {owner} {name}"


def on_cpus(config: RunConfig, shape: ModelShape, machines: Sequence[Machine]) -> Layout:
    """Everything in the first machine's memory."""
    sizes = crew_sizes(config)
    places = {role: (0,) * size for role, size in sizes.items()}
    host = host_load(config, shape, machines[0], 0, sizes, publisher=0)
    needs = needs_of(config, shape)
    parts = {name: needs[role].parts() for role, name in processes(places, 0)}
    cpus = machines[0].cpus or sum(sizes.values())
    crew = Crew(
        ranks=sizes["learner"],
        engines=sizes["rollout"],
        anchors=max(1, sizes["anchor"]),
        engines_per_device=math.ceil(sizes["rollout"] / cpus),
        apart=cpus >= sizes["learner"] + sizes["rollout"],
        anchors_apart=cpus >= sum(sizes.values()),
        machines_of_ranks=1,
        gpu_gb=0.0,
    )
    return Layout(
        places=places,
        engine_share=0.0,
        devices=(),
        owners=(),
        hosts=(Load(name=host.name, parts=parts | host.parts, limit_gb=host.limit_gb),),
        seconds=predict(config, shape, crew),
        overlapped=config.rollout.max_staleness > 0,
        chip=chip_of(0.0).name,
    )


def needs_of(config: RunConfig, shape: ModelShape) -> dict[Role, Need]:
    """One process of each role."""
    return {
        "learner": learner_need(config, shape),
        "rollout": engine_need(config, shape),
        "anchor": anchor_need(config, shape),
    }


def processes(places: Places, index: int) -> Iterator[tuple[Role, str]]:
    """The processes on one device, with names such as `rollout 1`."""
    for role in ROLES:
        for number, place in enumerate(places[role]):
            if place == index:
                yield role, f"{role} {number}"


def places_on(places: Places, owners: Sequence[int], machine: int) -> dict[Role, int]:
    """How many processes of each role one machine has."""
    return {role: sum(owners[index] == machine for index in places[role]) for role in ROLES}


def host_load(
    config: RunConfig,
    shape: ModelShape,
    machine: Machine,
    number: int,
    sizes: dict[Role, int],
    publisher: int,
) -> Load:
    """One machine's own memory."""
    parts = host_need(
        config,
        shape,
        ranks=sizes["learner"],
        engines=sizes["rollout"],
        anchors=sizes["anchor"],
        first=number == 0,
        publishes=number == publisher,
    )
    limit = math.inf if machine.host_gb is None else machine.host_gb
    return Load(name=f"machine {number} memory", parts={"host": parts}, limit_gb=limit)


def rounded_up(share: float) -> float:
    """To a hundredth, and at most 1."""
    return min(1.0, math.ceil(share * 100) / 100)


def total(parts: Parts) -> float:
    """GB of all parts."""
    return sum(parts.values())


def load_dict(load: Load) -> dict[str, Any]:
    """For JSON, which knows no infinity."""
    limit = None if math.isinf(load.limit_gb) else load.limit_gb
    return {"name": load.name, "limit_gb": limit, "total_gb": load.total_gb, "parts": load.parts}
