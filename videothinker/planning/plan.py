"""`videothinker plan`: machines from numbers, and a layout as text.

The text has each device with a bar, its processes with their memory, and the step's seconds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videothinker.config.loading import load_config
from videothinker.config.settings import RunConfig
from videothinker.errors import InputError
from videothinker.hub.models import at_hand
from videothinker.model.families.known import shape_of
from videothinker.planning.adapters import told
from videothinker.planning.disk import disk_need
from videothinker.planning.layout import SEATED, Layout, Load, Machine
from videothinker.planning.memory import cramped
from videothinker.planning.placement import LARGEST_GPU, cache_too_small, emptiest, needed, plan
from videothinker.planning.speed import CONSTANTS
from videothinker.terminal_text import text_table

BAR = 40
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
PROCESS = {"learner": "learner rank", "rollout": "rollout worker", "anchor": "anchor scorer"}
MEANING = {
    "split": "the learner on its own GPUs, rollouts on others",
    "colocated": "the learner shares GPUs with others",
    "scale_out": "the learner on its own GPUs, rollouts on others, over several machines",
    "cpu": "everything on this machine's CPUs",
}


def run(
    words: Sequence[str], *, nodes: int, gpus: int, gpu_gb: float, host_gb: float | None
) -> tuple[str, dict[str, Any]]:
    """The plan of a configuration, its file first and then overrides, as text and for JSON."""
    config = at_hand(load_config(Path(words[0]), words[1:]))
    machines = machines_of(config, nodes, gpus, gpu_gb, host_gb)
    shape = shape_of(config.model.path)
    if (wrong := cramped(config, shape)) is not None:
        raise InputError(f"{words[0]}: {wrong}")
    layout = plan(config, shape, machines)
    disk = disk_need(config, shape)
    result = layout.as_dict() | {
        "disk_gb": disk,
        "hours": hours(layout, config),
        "constants": {name: constant._asdict() for name, constant in CONSTANTS.items()},
    }
    return table(layout, config, disk, told(config, shape)), result


def machines_of(
    config: RunConfig, nodes: int, gpus: int, gpu_gb: float, host_gb: float | None
) -> list[Machine]:
    """So many equal machines; for a configuration without GPUs this one, unless told otherwise."""
    if nodes < 1:
        raise InputError(f"--nodes {nodes}: at least one machine is needed")
    if host_gb is not None and not 0 < host_gb < math.inf:
        raise InputError(f"--host-memory {host_gb:g}: give GB of memory, such as 128")
    if config.cluster.device == "cpu":
        return [Machine(host_gb=host_gb or memory_here(), cpus=os.cpu_count())] * nodes
    if gpus < 1 or not 0 < gpu_gb < math.inf:
        raise InputError(
            f"--gpus {gpus} --gpu-memory {gpu_gb:g}: this configuration runs on GPUs"
            " (cluster.device=cuda); say how many a machine has, and the GB of each:"
            " --gpus 2 --gpu-memory 48"
        )
    return [Machine(gpus=gpus, gpu_gb=gpu_gb, host_gb=host_gb)] * nodes


def memory_here() -> float:
    """GB of this machine's memory, or of the part of it that a container may use."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if CONTAINER_LIMIT.is_file():
        limit = CONTAINER_LIMIT.read_text().strip()
        memory = min(memory, int(limit)) if limit.isdecimal() else memory
    return memory / 1e9


def least(config: RunConfig) -> str:
    """The smallest GPUs that hold a run: one for each rank of its learner, and where engines have
    several, theirs. "" where that cannot be said: on CPUs, of a model that is not here, of settings
    that fit none.
    """
    if config.cluster.device == "cpu":
        return ""
    try:
        shape = shape_of(config.model.path)
    except InputError:
        return ""
    ranks, wide = config.learner.ranks, config.rollout.tensor_parallel
    if wide > 1:
        ranks += config.rollout.workers * wide
    layout = emptiest(config, shape, [Machine(gpus=ranks, gpu_gb=math.inf)])
    size, host = needed(layout.devices), needed(layout.hosts)
    if size > LARGEST_GPU or cache_too_small(config, shape):
        return ""
    return f"{ranks} GPU{'s' * (ranks > 1)} of {size} GB and {host} GB of host memory"


def table(layout: Layout, config: RunConfig, disk: Mapping[str, float], adapters: str) -> str:
    """All of a layout that a person wants to know before starting the run."""
    lines = [f"{layout.kind}: {MEANING[layout.kind]}"]
    counts = [(len(layout.places[role]), PROCESS[role]) for role in SEATED if layout.places[role]]
    lines += ["  " + ", ".join(f"{n} {name}{'s' * (n > 1)}" for n, name in counts)]
    if layout.engine_gpus > 1:
        lines += [f"  {layout.engine_gpus} GPUs a rollout worker, which nobody else sits on"]
    if adapters:
        lines += [f"  {adapters}"]
    lines += [""]
    for load in (*layout.devices, *layout.hosts):
        lines += load_lines(load)
    lines += [f"{'disk':<18}{sum(disk.values()):6.1f} GB at most, decoded clips aside"]
    lines += ["  " + ", ".join(f"{part} {size:.1f}" for part, size in disk.items())]
    return "\n".join([*lines, "", *time_lines(layout, config)])


def load_lines(load: Load) -> list[str]:
    """A device or a machine's memory: its bar, then a line for each process."""
    used = f"{load.total_gb:6.1f}"
    if math.isinf(load.limit_gb):
        head = f"{load.name:<18}{used} GB"
    else:
        head = f"{load.name:<18}{used} of {load.limit_gb:.4g} GB  {bar(load)}"
    rows = [
        [
            f"  {name}",
            f"{sum(parts.values()):5.1f}",
            ", ".join(f"{part} {size:.1f}" for part, size in parts.items() if size >= 0.05),
        ]
        for name, parts in load.parts.items()
    ]
    lines = [head, text_table(rows, right=[1])] if rows else [head]
    if load.turns:
        awake, asleep = load.turns
        lines.append(
            f"  by turns: {awake:.1f} while engines are awake, {asleep:.1f} while the learner works"
        )
    return lines


def bar(load: Load) -> str:
    """# is used, . is free, ! would be beyond what may be planned for, | ends that."""
    cells = min(BAR, math.ceil(BAR * load.total_gb / load.limit_gb))
    end = int(BAR * load.usable / load.limit_gb)
    marks = "#" * min(cells, end) + "." * (end - cells)
    return f"[{marks}|{'!' * (cells - end):.<{BAR - end}}]"


def time_lines(layout: Layout, config: RunConfig) -> list[str]:
    """A step by phase, and the run."""
    times = layout.seconds
    phases = {name: getattr(times, name) for name in ("generate", "score", "learn", "sync")}
    chosen = "overlapped" if layout.overlapped else "one after the other"
    refill = config.sampling.refill
    more = f"  not counted: up to {refill} groups more (sampling.refill), in rounds of up to"
    return [
        f"a step, predicted with the speed of {layout.chip} (docs/placement.md):",
        "  " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in phases.items()),
        f"  one after the other {times.on_policy:.1f} s; overlapped {times.overlapped:.1f} s",
        f"  {steps_of(config)} steps {chosen}: {hours(layout, config):.1f} h",
        *([f"{more} {times.generate:.1f} s"] if refill else []),
    ]


def steps_of(config: RunConfig) -> int:
    """Of all stages."""
    return sum(stage.steps for stage in config.stages)


def hours(layout: Layout, config: RunConfig) -> float:
    """Predicted for all stages, without their evaluation."""
    return steps_of(config) * layout.step_seconds / 3600
