"""How long a step will take: operations and bytes over the speeds in CONSTANTS.

A prediction to compare layouts by. No GPU's figure in it was measured by this project.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from videothinker.config.learner import Part
from videothinker.config.settings import RunConfig, weights_path
from videothinker.model.flops import backward, forward_flops
from videothinker.model.shape import BYTES, ModelShape
from videothinker.planning.adapters import (
    anchored_stages,
    base_gb,
    learner_scores,
    published_bytes,
    read_again_gb,
)
from videothinker.planning.memory import Workload, cache_gb, largest, models_scored
from videothinker.planning.passes import GB
from videothinker.process.cards import BFLOAT16


class Constant(NamedTuple):
    """One number of the model, and where it comes from."""

    value: float
    unit: str
    source: str


ONE_CORE = "measured, one core: tests/benchmarks/shapes.py"
TWO_CORES = "measured, two cores: tests/benchmarks/shapes.py"
CONSTANTS = {
    "flops_share": Constant(0.5, "of a GPU's operations", "assumed: well-made training reaches it"),
    "bandwidth_share": Constant(0.8, "of a GPU's bandwidth", "assumed"),
    "gpu_token_step": Constant(2e-3, "s for each token position an engine samples", "assumed"),
    "all_reduce": Constant(2e-5, "s, twice a layer, in an engine over several GPUs", "assumed"),
    "cpu_token_step": Constant(3.1e-3, "s for each token position an engine samples", ONE_CORE),
    "cpu_token": Constant(1.2e-4, "s for each token an engine samples", ONE_CORE),
    "cpu_learner_alone": Constant(
        0.7,
        "of its time with one core, for a learner that has both since all others wait",
        TWO_CORES,
    ),
    "cpu_beside": Constant(
        1.13, "of the time alone, for what computes beside something else", TWO_CORES
    ),
    "host_adam": Constant(1.5e9, "parameters a second and machine", "assumed: 2.5 s for 3.75e9"),
    "bus": Constant(25e9, "bytes/s between a GPU and its host or neighbour", "assumed: PCIe 4"),
    "network": Constant(12.5e9, "bytes/s between machines", "assumed: 100 Gbit/s"),
    "publish": Constant(
        3.5e9,
        "bytes/s through two checksums and the object store",
        "measured, one core: tests/benchmarks/sync.py",
    ),
    "leave_gpu": Constant(
        1.2e9,
        "bytes/s into memory of the host, with a checksum; weights.path = host",
        "measured between two places of a CPU's memory, pageable",
    ),
    "read_again": Constant(
        5e9,
        "bytes/s of a checkpoint in its machine's memory, for an engine that adds an adapter to it",
        "measured between two places of a CPU's memory, one core",
    ),
    "cpu_read_again": Constant(
        2.4e8,
        "bytes/s of the same, with the products of rank 16",
        "measured, one core, the 3B's matrices",
    ),
    "text": Constant(115, "tokens of a question", "estimated from CLEVRER"),
    "mean_tokens": Constant(
        200, "tokens of a completion", "assumed: published logs have 100 to 250"
    ),
    "longest_tokens": Constant(350, "tokens of the longest", "assumed"),
}


def constant(name: str) -> float:
    return CONSTANTS[name].value


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """What computes: a GPU, or the CPU core of one process."""

    name: str
    flops: float
    """Operations in a second: on a GPU, in bfloat16, what is reached of its data sheet's."""
    bandwidth: float
    """Bytes of its memory in a second, likewise."""


def gpu(name: str, flops: float, bandwidth: float) -> Chip:
    """From a data sheet's figures."""
    return Chip(
        name=name,
        flops=flops * constant("flops_share"),
        bandwidth=bandwidth * constant("bandwidth_share"),
    )


CPU = Chip(name="a CPU core", flops=38e9, bandwidth=10e9)
"""Operations measured in scoring and learning at three shapes of a small model, 36 to 42 GFLOP in a
second (tests/benchmarks/shapes.py). Bandwidth assumed."""
GPUS = (
    (0.0, gpu("an A6000", flops=BFLOAT16["NVIDIA RTX A6000"], bandwidth=768e9)),
    (64.0, gpu("an A100", flops=BFLOAT16["NVIDIA A100-SXM4-80GB"], bandwidth=2039e9)),
    (100.0, gpu("an H200", flops=BFLOAT16["NVIDIA H200"], bandwidth=4800e9)),
)
"""By the least memory that a device is taken for one of these."""


def chip_of(gpu_gb: float) -> Chip:
    """The GPU whose speed is assumed for one with so much memory; without memory, a CPU core."""
    return [chip for least, chip in GPUS if gpu_gb >= least][-1] if gpu_gb else CPU


@dataclass(frozen=True, kw_only=True, slots=True)
class Workforce:
    """How many of each role work, and what they share."""

    ranks: int
    engines: int
    anchors: int
    engines_per_device: int
    apart: bool
    """Whether the learner has devices of its own, so that it can work while others sample."""
    anchors_apart: bool
    """Whether the anchors have, so that they can score one group while the next is sampled."""
    machines_of_ranks: int
    near: bool
    """Whether all engines are on the GPU of the learner's rank 0."""
    across: bool
    """Whether there is more than one machine, so that engines may be on others than it."""
    chip: Chip
    """The slowest of those that there are."""
    shards: int = 1
    """GPUs of one engine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSeconds:
    """A step's predicted seconds, by phase and in total."""

    generate: float
    score: float
    learn: float
    sync: float
    on_policy: float
    """One after the other: rollout.max_staleness 0."""
    overlapped: float
    """Sampling and scoring beside learning: rollout.max_staleness of at least 1."""


def predict(config: RunConfig, shape: ModelShape, work: Workforce) -> StepSeconds:
    """The longest of the run's stages, each step at its full number of prompts."""
    prompts = max(stage.prompts_per_step for stage in config.stages)
    generate = generate_seconds(config, shape, work, prompts)
    score = score_seconds(config, shape, work, prompts) if anchored_stages(config) else 0.0
    learn = learn_seconds(config, shape, work, prompts)
    sync = sync_seconds(config, shape, work)
    cpu = work.chip is CPU
    alone = learn * constant("cpu_learner_alone") if cpu and work.ranks == 1 else learn
    total = generate + score + alone + sync
    scores = learner_scores(config)
    sampling = max(generate, score) if work.anchors_apart or scores else generate + score
    sampling += published_bytes(config, shape) / constant("bus")
    learning = learn + sync + (score if scores else 0.0)
    beside = max(sampling, learning) if work.apart else total
    if cpu:
        beside = min(total, beside * constant("cpu_beside"))
    return StepSeconds(
        generate=generate,
        score=score,
        learn=learn if config.rollout.max_staleness else alone,
        sync=sync,
        on_policy=total,
        overlapped=beside,
    )


def generate_seconds(config: RunConfig, shape: ModelShape, work: Workforce, prompts: int) -> float:
    """Prefill, then as many token positions as the longest completion has, in waves where the cache
    does not hold all sequences."""
    load, chip = usual(config, shape), work.chip
    groups = math.ceil(prompts / work.engines)
    sequences = groups * load.group
    prefill = groups * prompt_flops(shape, load) / chip.flops / work.shards
    own = mean_tokens(config) * shape.cache_bytes(config.model.dtype)
    shared = groups * load.prompt * shape.cache_bytes(config.model.dtype)
    waves = math.ceil(sequences * own / max(own, cache_gb(config) * GB - shared))
    positions = waves * longest_tokens(config)
    if chip is CPU:
        tokens = sequences * mean_tokens(config)
        decode = positions * constant("cpu_token_step") + tokens * constant("cpu_token")
    else:
        weights = (shape.language + shape.vocabulary * shape.hidden) * BYTES[config.model.dtype]
        read = (weights + sequences / waves * own + shared) / chip.bandwidth / work.shards
        exchange = 2 * shape.layers * constant("all_reduce") if work.shards > 1 else 0.0
        decode = positions * (read + exchange + constant("gpu_token_step"))
    return (prefill + decode) * work.engines_per_device


def score_seconds(config: RunConfig, shape: ModelShape, work: Workforce, prompts: int) -> float:
    """The anchor's forward pass over each group, and that of the model it is compared with."""
    groups = math.ceil(prompts / work.anchors)
    return groups * models_scored(config) * row_flops(config, shape) / work.chip.flops


def learn_seconds(config: RunConfig, shape: ModelShape, work: Workforce, prompts: int) -> float:
    """Passes over each rank's groups, what ranks exchange, and the optimizer; of a part that no
    gradient reaches nothing is computed again. What is learnt from after the first of several
    updates is scored before it."""
    learner = config.learner
    updates = learner.updates_per_step
    groups = math.ceil(prompts / work.ranks)
    again = 1 if learner.gradient_checkpointing else 0
    before = 1 - 1 / updates
    passes = {
        part: 1 + back + again * (back > 0) + before for part, back in backward(learner).items()
    }
    parts = row_parts(config, shape)
    compute = groups * sum(passes[part] * parts[part] for part in parts) / work.chip.flops
    between = constant("network" if work.machines_of_ranks > 1 else "bus")
    exchanged = 2.0 * updates * published_bytes(config, shape)
    if learner.zero_stage == 3:
        exchanged += 3 * groups * base_gb(config, shape) * GB
    exchange = exchanged * (work.ranks - 1) / work.ranks / between
    adam = adam_seconds(config, shape, work, math.ceil(groups / updates))
    return compute + exchange + updates * adam


def adam_seconds(config: RunConfig, shape: ModelShape, work: Workforce, rows: int) -> float:
    """The optimizer's arithmetic; on the host, ranks of one machine share its memory's speed.

    Of each row the sum of gradients so far comes to the GPU and goes back; in place of what would
    come for the first one, new weights do.
    """
    learner, cpu = config.learner, work.chip is CPU
    trained = shape.trained(learner)
    if learner.offload or cpu:
        once = 2 * trained * BYTES[config.model.dtype] / constant("bus") / work.ranks
        there_and_back = rows * once
        on_host = trained / constant("host_adam") / work.machines_of_ranks
        return on_host + (0.0 if cpu else there_and_back)
    touched = 28 * trained / (work.ranks if learner.zero_stage else 1)  # read and written, in bytes
    return touched / work.chip.bandwidth


def sync_seconds(config: RunConfig, shape: ModelShape, work: Workforce) -> float:
    """New weights into all engines: once through the host, or to one after the other; each that
    adds an adapter to its own reads those again, all at the same time."""
    size, cpu = published_bytes(config, shape), work.chip is CPU
    again = read_again_gb(config, shape) * GB / constant("cpu_read_again" if cpu else "read_again")
    if cpu or weights_path(config) == "host":
        return again + size / constant("publish") + (0.0 if cpu else size / constant("leave_gpu"))
    here = 4 * size / work.chip.bandwidth  # read and written where it is packed and unpacked
    between = size / constant("network" if work.across else "bus")
    return again + work.engines * (here if work.near else here + between)


def usual(config: RunConfig, shape: ModelShape) -> Workload:
    """The whole video budget, with a question of the usual length."""
    return largest(config, shape, int(constant("text")))


def mean_tokens(config: RunConfig) -> float:
    """Of a completion."""
    return min(constant("mean_tokens"), config.sampling.max_tokens / 2)


def longest_tokens(config: RunConfig) -> float:
    """Of the longest completion of a step."""
    return min(constant("longest_tokens"), config.sampling.max_tokens)


def prompt_flops(shape: ModelShape, load: Workload) -> float:
    """Vision tower, and the language model over the prompt."""
    return sum(forward_flops(shape, load.patches, load.prompt).values())


def row_flops(config: RunConfig, shape: ModelShape) -> float:
    """One forward pass over a packed row."""
    return sum(row_parts(config, shape).values())


def row_parts(config: RunConfig, shape: ModelShape) -> dict[Part, float]:
    """The same by part of the model."""
    load = usual(config, shape)
    lengths = [mean_tokens(config)] * load.group
    return forward_flops(shape, load.patches, load.prompt, lengths)
