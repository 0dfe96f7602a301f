"""How long a step will take: operations and bytes over the speeds in CONSTANTS.

A prediction to compare layouts by. No GPU's figure in it was measured by this project.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from videothinker.config.settings import RunConfig
from videothinker.model.shape import BYTES, ModelShape
from videothinker.planning.memory import GB, Workload, anchored_stages, cache_gb, largest


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    """One number of the model, and where it comes from."""

    value: float
    unit: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """What computes: a GPU, or the CPU cores of one process."""

    name: str
    flops: float
    """Operations in a second, in bfloat16 on a GPU, as its data sheet says."""
    bandwidth: float
    """Bytes of its memory in a second."""


CONSTANTS = {
    "flops_share": Constant(
        value=0.5, unit="of a GPU's operations", source="assumed: well-made training reaches it"
    ),
    "bandwidth_share": Constant(value=0.8, unit="of a GPU's bandwidth", source="assumed"),
    "gpu_token_step": Constant(
        value=2e-3, unit="s for each token position an engine samples", source="assumed"
    ),
    "cpu_token_step": Constant(
        value=3.1e-3,
        unit="s for each token position an engine samples",
        source="measured, one core: tests/benchmarks/shapes.py",
    ),
    "cpu_token": Constant(
        value=1.2e-4,
        unit="s for each token an engine samples",
        source="measured, one core: tests/benchmarks/shapes.py",
    ),
    "cpu_learner_alone": Constant(
        value=0.7,
        unit="of its time with one core, for a learner that has both since all others wait",
        source="measured, two cores: tests/benchmarks/shapes.py",
    ),
    "cpu_beside": Constant(
        value=1.13,
        unit="of the time alone, for what computes beside something else",
        source="measured, two cores: tests/benchmarks/shapes.py",
    ),
    "host_adam": Constant(
        value=1.5e9, unit="parameters a second and machine", source="assumed: 2.5 s for 3.75e9"
    ),
    "bus": Constant(
        value=25e9, unit="bytes/s between a GPU and its host or neighbour", source="assumed: PCIe 4"
    ),
    "network": Constant(
        value=12.5e9, unit="bytes/s between machines", source="assumed: 100 Gbit/s"
    ),
    "publish": Constant(
        value=3.5e9,
        unit="bytes/s through two checksums and the object store",
        source="measured, one core: tests/benchmarks/sync.py",
    ),
    "text": Constant(value=115, unit="tokens of a question", source="estimated from CLEVRER"),
    "mean_tokens": Constant(
        value=200, unit="tokens of a completion", source="assumed: published logs have 100 to 250"
    ),
    "longest_tokens": Constant(value=350, unit="tokens of the longest", source="assumed"),
}
CPU = Chip(name="a CPU core", flops=38e9, bandwidth=10e9)
"""Operations measured in scoring and learning at three shapes of a small model, 36 to 42 GFLOP in a
second (tests/benchmarks/shapes.py); shares do not apply to it. Bandwidth assumed."""
GPUS = (
    (0.0, Chip(name="an A6000", flops=155e12, bandwidth=768e9)),
    (64.0, Chip(name="an A100", flops=312e12, bandwidth=2039e9)),
    (100.0, Chip(name="an H200", flops=990e12, bandwidth=4800e9)),
)
"""By the least memory that a device is taken for one of these; figures of their data sheets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Crew:
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
    gpu_gb: float
    """Of the smallest device; 0 on CPUs."""


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


def chip_of(gpu_gb: float) -> Chip:
    """The GPU whose speed is assumed for one with so much memory; without memory, a CPU core."""
    if not gpu_gb:
        return CPU
    return [chip for least, chip in GPUS if gpu_gb >= least][-1]


def constant(name: str) -> float:
    """A constant's value."""
    return CONSTANTS[name].value


def predict(config: RunConfig, shape: ModelShape, crew: Crew) -> StepSeconds:
    """The longest of the run's stages, each step at its full number of prompts."""
    prompts = max(stage.prompts_per_step for stage in config.stages)
    generate = generate_seconds(config, shape, crew, prompts)
    score = score_seconds(config, shape, crew, prompts) if anchored_stages(config) else 0.0
    learn = learn_seconds(config, shape, crew, prompts)
    block = shape.parameters * BYTES[config.model.dtype]
    sync = block / constant("publish")
    cpu = chip_of(crew.gpu_gb) is CPU
    alone = learn * constant("cpu_learner_alone") if cpu and crew.ranks == 1 else learn
    total = generate + score + alone + sync
    sampling = max(generate, score) if crew.anchors_apart else generate + score
    sampling += block / constant("bus")
    beside = max(sampling, learn + sync) if crew.apart else total
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


def generate_seconds(config: RunConfig, shape: ModelShape, crew: Crew, prompts: int) -> float:
    """Prefill, then as many token positions as the longest completion has, in waves where the cache
    does not hold all sequences."""
    load, chip = usual(config, shape), chip_of(crew.gpu_gb)
    groups = math.ceil(prompts / crew.engines)
    sequences, size = groups * load.group, BYTES[config.model.dtype]
    prefill = groups * prompt_flops(shape, load) / speed(chip)
    own = mean_tokens(config) * shape.cache_bytes(config.model.dtype)
    shared = groups * load.prompt * shape.cache_bytes(config.model.dtype)
    room = max(own, cache_gb(config) * GB - shared)
    waves = math.ceil(sequences * own / room)
    weights = (shape.language + shape.vocabulary * shape.hidden) * size
    read = weights + sequences / waves * own + shared
    steps = waves * longest_tokens(config)
    if chip is CPU:
        tokens = sequences * mean_tokens(config) * constant("cpu_token")
        decode = steps * constant("cpu_token_step") + tokens
    else:
        each = read / (chip.bandwidth * constant("bandwidth_share")) + constant("gpu_token_step")
        decode = steps * each
    return (prefill + decode) * crew.engines_per_device


def score_seconds(config: RunConfig, shape: ModelShape, crew: Crew, prompts: int) -> float:
    """The anchor's forward pass over each group, and that of the model it is compared with."""
    groups = math.ceil(prompts / crew.anchors)
    models = 2 if any(stage.kl.compares for stage in config.stages) else 1
    return groups * models * row_flops(config, shape) / speed(chip_of(crew.gpu_gb))


def learn_seconds(config: RunConfig, shape: ModelShape, crew: Crew, prompts: int) -> float:
    """Passes over each rank's groups, what ranks exchange, and the optimizer."""
    learner, chip = config.learner, chip_of(crew.gpu_gb)
    groups = math.ceil(prompts / crew.ranks)
    passes = 4 if learner.gradient_checkpointing else 3  # a backward pass counts for two
    compute = groups * passes * row_flops(config, shape) / speed(chip)
    size = shape.parameters * BYTES[config.model.dtype]
    between = constant("network" if crew.machines_of_ranks > 1 else "bus")
    exchanges = 2 + 3 * groups * (learner.zero_stage == 3)
    exchange = exchanges * size * (crew.ranks - 1) / crew.ranks / between
    return compute + exchange + adam_seconds(config, shape, crew)


def adam_seconds(config: RunConfig, shape: ModelShape, crew: Crew) -> float:
    """The optimizer's arithmetic; on the host, ranks of one machine share its memory's speed."""
    learner = config.learner
    trained = shape.trained(learner.freeze)
    if learner.offload or not crew.gpu_gb:
        there_and_back = 2 * trained * BYTES[config.model.dtype] / constant("bus")
        moved = there_and_back / crew.ranks if crew.gpu_gb else 0.0
        return trained / constant("host_adam") / crew.machines_of_ranks + moved
    touched = 28 * trained / (crew.ranks if learner.zero_stage else 1)  # read and written, in bytes
    return touched / (chip_of(crew.gpu_gb).bandwidth * constant("bandwidth_share"))


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
    vision = 2.0 * load.patches * shape.vision + 2.0 * load.visual * shape.merger
    attention = 2.0 * shape.layers * shape.hidden * load.prompt**2
    return vision + 2.0 * load.prompt * shape.language + attention


def row_flops(config: RunConfig, shape: ModelShape) -> float:
    """One forward pass over a packed row; the head sees the completions only."""
    load, length = usual(config, shape), mean_tokens(config)
    tokens = load.group * length
    seen = load.prompt + length / 2
    attention = 4.0 * shape.layers * shape.hidden * tokens * seen
    each = 2.0 * (shape.language + shape.vocabulary * shape.hidden)
    return prompt_flops(shape, load) + tokens * each + attention


def speed(chip: Chip) -> float:
    """Operations in a second that are really reached."""
    return chip.flops if chip is CPU else chip.flops * constant("flops_share")
