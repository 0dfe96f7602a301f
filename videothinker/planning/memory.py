"""What every role of a run holds, by part, in GB (1e9 bytes); formulas and their constants.

Each number is the most that the configuration allows: the whole video budget, completions that all
reach `sampling.max_tokens`. docs/placement.md says which constants were measured and which assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from videothinker.config.settings import Device, RunConfig, weights_path
from videothinker.model.shape import (
    BYTES,
    DECODED_AT_ONCE,
    PREFILL_AT_ONCE,
    TOKENS_AT_ONCE,
    ModelShape,
)
from videothinker.planning.adapters import (
    PART_BYTES,
    anchored_stages,
    asked_gb,
    base_gb,
    bases_scored,
    engine_adapters,
    learner_scores,
    published_gb,
    read_again_gb,
)
from videothinker.planning.passes import GB, Parts, Row, row_phases, scoring_gb, widened_gb

TEXT_TOKENS = 256
"""Of a question with its options: assumed, twice what CLEVRER's have."""
OPTIMIZER_BYTES = 12
"""A trained parameter: float32 copy and Adam's two moments. Measured, ZeRO 2 and 3."""
UNCOPIED_OPTIMIZER_BYTES = 8
"""Without the copy, which float32 under ZeRO 0 needs not. Measured."""
HOST_OPTIMIZER_BYTES = 20
"""The same on the host, with a float32 gradient, a bfloat16 copy, and the gradients of the rows so
far, which leave the GPU as they come. Measured."""
PINNED_BYTES = 2
"""More of each of these for a GPU: its host's pinned memory comes in powers of two. Assumed."""
UPDATE_BYTES = 8
"""More of a parameter while its gradient becomes a float32 one for Adam. Read in DeepSpeed."""
BUCKET_NUMBERS = 5e8
"""DeepSpeed's default bucket, which exists whole however small the model. Measured, ZeRO 3."""
LIVE_NUMBERS = 1e9
"""ZeRO 3's default of parameters that are gathered at one time."""
GRAPHS_GB = 1.0
"""vLLM's CUDA graphs: assumed."""
CONTEXT_GB = 0.6
"""A process's CUDA context, cuBLAS and NCCL: assumed."""
PROCESS_GB = {"learner": 0.8, "rollout": 1.2, "anchor": 0.5, "loader": 0.8, "driver": 0.8}
"""Resident memory of one process's libraries on a CPU: measured."""
CUDA_PROCESS_GB = 3.0
"""The same with CUDA's: assumed."""
CLIPS_GB = 0.27
"""Clips that a loader keeps in memory: video/clips.py."""
LEAST_STORE_GB = 0.25
ANSWERED_TOGETHER, ANSWERING_GB = 64, 0.5
STORE_SHARE = 0.3
"""Of a machine's memory, at most, for Ray's object store: as Ray has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """The largest group that a configuration allows."""

    visual: int
    """Tokens of the video."""
    patches: int
    prompt: int
    """Tokens before a completion, the video's included."""
    completion: int
    group: int
    groups: int
    """Of a step, on one rank."""

    @property
    def longest(self) -> Row:
        """As many of the longest groups as share a row."""
        groups = max(1, TOKENS_AT_ONCE // (self.prompt + self.group * self.completion))
        return self._row(min(groups, self.groups), self.completion)

    @property
    def rows(self) -> list[Row]:
        """The longest, and one as full of videos as goes, with what is left for completions."""
        videos = min(TOKENS_AT_ONCE // self.prompt, self.groups)
        if videos <= 1:
            return [self.longest]
        left = TOKENS_AT_ONCE - videos * self.prompt
        return [self.longest, self._row(videos, left // videos // self.group)]

    def _row(self, groups: int, completion: int) -> Row:
        scored = groups * self.group * completion
        return Row(
            tokens=groups * self.prompt + scored,
            patches=groups * self.patches,
            scored=scored,
            repeated=groups * self.group * self.prompt,
        )


def largest(config: RunConfig, shape: ModelShape, text_tokens: int = TEXT_TOKENS) -> Workload:
    """The workload of a configuration; no prompt is longer than the loader lets through."""
    longest = max(1, config.rollout.max_model_len - config.sampling.max_tokens)
    visual = min(shape.tokens(config.video), longest)
    return Workload(
        visual=visual,
        patches=shape.patches(visual),
        prompt=min(visual + text_tokens, longest),
        completion=config.sampling.max_tokens,
        group=config.sampling.group_size,
        groups=ceil(max(stage.prompts_per_step for stage in config.stages) / config.learner.ranks),
    )


def cramped(config: RunConfig, shape: ModelShape) -> str | None:
    """What is wrong where the largest video, its question and an answer do not fit together."""
    tokens = shape.tokens(config.video)
    if tokens + config.sampling.max_tokens < config.rollout.max_model_len:
        return None
    return (
        f"rollout.max_model_len = {config.rollout.max_model_len} has no room for a video of"
        f" {tokens} tokens, its question and sampling.max_tokens ="
        f" {config.sampling.max_tokens}. Raise the first or lower one of the others"
    )


def learner_parts(config: RunConfig, shape: ModelShape) -> Parts:
    """One learner rank: what DeepSpeed keeps all the time, and its largest phase."""
    learner = config.learner
    optimizer = shape.trained(learner) * optimizer_bytes(config) / GB
    shards = learner.ranks if learner.zero_stage == 3 else 1
    return {
        "weights": base_gb(config, shape) / shards,
        **{part: gb / shards for part, gb in learner_adapters(config, shape).items()},
        "optimizer": optimizer / (learner.ranks if learner.zero_stage else 1),
        "context": context_gb(config),
        "transfer": transfer_gb(config, shape),
    } | max(learner_phases(config, shape), key=total)


def learner_adapters(config: RunConfig, shape: ModelShape) -> Parts:
    """Beside a learner's base: the one that is trained, and the anchor's where it scores."""
    if config.learner.lora is None:
        return {}
    asked = asked_gb(config, shape) if learner_scores(config) else 0.0
    return {"adapters": published_gb(config, shape) + asked}


def learner_phases(config: RunConfig, shape: ModelShape) -> list[Parts]:
    """What one rank holds one after the other: a backward pass, the optimizer's arithmetic, under
    ZeRO 3 all weights, to publish or to save them, and a pass as the anchor where it scores."""
    learner, size = config.learner, BYTES[config.model.dtype] / GB
    trained = shape.trained(learner)
    shards = learner.ranks if learner.zero_stage else 1
    beside = {} if learner.offload else {"gradients": trained * size / shards}
    if learner.zero_stage:
        room = BUCKET_NUMBERS if config.cluster.device == "cuda" else min(BUCKET_NUMBERS, trained)
        beside["buckets"] = room * size
    if learner.zero_stage == 3:
        beside["gathered"] = min(LIVE_NUMBERS, shape.parameters) * size
    exact = any(stage.kl.every_token for stage in anchored_stages(config))
    phases = [
        beside | held
        for row in largest(config, shape).rows
        for held in row_phases(config, shape, row, exact=exact)
    ]
    if not learner.offload:
        phases.append({"arithmetic": trained * UPDATE_BYTES / shards / GB})
    if learner.zero_stage == 3:
        phases.append({"gathered": shape.parameters * size})
    if learner_scores(config):
        phases.append(scoring_phase(config, shape))
    return phases


def scoring_phase(config: RunConfig, shape: ModelShape) -> Parts:
    """What a learner takes to be asked as the anchor, between its steps."""
    return {"scoring": scoring_gb(config, shape, largest(config, shape).longest)}


def optimizer_bytes(config: RunConfig) -> int:
    """A trained parameter's, on the learner's device."""
    if config.learner.offload:
        return 0
    plain = config.model.dtype == "float32" and config.learner.zero_stage == 0
    return UNCOPIED_OPTIMIZER_BYTES if plain else OPTIMIZER_BYTES


def engine_parts(config: RunConfig, shape: ModelShape) -> Parts:
    """One rollout worker: weights, key-value cache, and room for its largest step; on one of its
    GPUs, or all its ranks in a machine's memory. Weights and cache are shared out over ranks.
    """
    shards = config.rollout.tensor_parallel
    here = shards if config.cluster.device == "cpu" else 1
    size = BYTES[config.model.dtype] / GB
    prefill = PREFILL_AT_ONCE[config.cluster.device]
    tokens = prefill * (4 * shape.hidden + 3 * shape.intermediate)
    patches = shape.patches(config.rollout.max_model_len)
    vision = patches * (4 * shape.vision_hidden + 3 * shape.vision_intermediate)
    parts = {"weights": base_gb(config, shape) / shards * here}
    parts |= {name: gb * here for name, gb in engine_adapters(config, shape).items()}
    if config.cluster.device == "cpu":
        parts["head"], rest = engine_head_gb(config, shape), 0.0
    else:
        rest = _sampling_gb(shape, rows_of_scores(config)) + GRAPHS_GB
    return parts | {
        "cache": cache_gb(config) / shards * here,
        "workspace": (max(tokens, vision) * size + rest) * here,
        "context": context_gb(config),
        "transfer": transfer_gb(config, shape) * here,
    }


def engine_head_gb(config: RunConfig, shape: ModelShape) -> float:
    """What an engine on CPUs has of the output head beside the weights: vLLM lays it out once more
    for its products. While weights come the embeddings are laid out as well; at the start it tries
    out as many sequences as it ever takes."""
    head = shape.vocabulary * shape.hidden * BYTES[config.model.dtype] / GB
    starting = 2 * head + _sampling_gb(shape, DECODED_AT_ONCE)
    together = rows_of_scores(config)
    if not config.rollout.drafts:
        together = min(together, max(sampled_together(config), ANSWERED_TOGETHER))
    answering = head + widened_gb(config, shape) + _sampling_gb(shape, together)
    return max(starting, answering)


def rows_of_scores(config: RunConfig) -> int:
    """Of one step of an engine at most; what checks drafts has twice as much at a time."""
    return DECODED_AT_ONCE * (2 if config.rollout.drafts else 1)


def sampled_together(config: RunConfig) -> int:
    """The most completions of a stage that an engine works on at the same time."""
    rollout = config.rollout
    most = max(stage.prompts_per_step for stage in config.stages)
    prompts = rollout.prompts_together or ceil(most / rollout.workers)
    return prompts * config.sampling.group_size * rollout.units_at_once


def _sampling_gb(shape: ModelShape, sequences: int) -> float:
    """Scores, log-probs, and these sorted."""
    return 3 * sequences * shape.vocabulary * 4 / GB


def engine_processes(config: RunConfig) -> int:
    """Of an engine over several devices each rank has one."""
    shards = config.rollout.tensor_parallel
    return 1 if shards == 1 else 1 + shards


def transfer_gb(config: RunConfig, shape: ModelShape) -> float:
    """Where weights go straight, either end has room for the part that is on its way."""
    return largest_part_gb(config, shape) if weights_path(config) != "host" else 0.0


def largest_part_gb(config: RunConfig, shape: ModelShape) -> float:
    """Of weights on their way: the embeddings, or of an adapter, whose matrices are all small, as
    much as goes together."""
    if config.learner.lora is not None:
        return min(PART_BYTES / GB, published_gb(config, shape))
    return shape.vocabulary * shape.hidden * BYTES[config.model.dtype] / GB


def versions_stored(config: RunConfig) -> int:
    """Of the weights in the object store: those that come and those that go; straight ones only
    when the learner does."""
    return 2 if weights_path(config) == "host" else 1


def cache_gb(config: RunConfig) -> float:
    """`rollout.cache_gb` counts in powers of two, as vLLM does."""
    return config.rollout.cache_gb * 2**30 / GB


def anchor_parts(config: RunConfig, shape: ModelShape) -> Parts:
    """One anchor scorer: weights, of two models where they are compared and share no base, and a
    forward pass that keeps nothing."""
    return {
        "weights": bases_scored(config) * base_gb(config, shape) + asked_gb(config, shape),
        "activations": scoring_gb(config, shape, largest(config, shape).longest),
        "context": context_gb(config),
    }


def models_scored(config: RunConfig) -> int:
    """By a scorer: the anchor, and the initial model where they are compared."""
    return 2 if any(stage.kl.compares for stage in config.stages) else 1


def context_gb(config: RunConfig) -> float:
    """What a device holds for a process that does nothing."""
    return CONTEXT_GB if config.cluster.device == "cuda" else 0.0


def process_gb(role: str, device: Device) -> float:
    """What a role's process takes of its machine's memory before it does anything."""
    return CUDA_PROCESS_GB if device == "cuda" else PROCESS_GB[role]


def total(parts: Parts) -> float:
    return sum(parts.values())


def prompts_gb(config: RunConfig, shape: ModelShape, load: Workload) -> float:
    """Prompts that exist at one time: in training this step's, those sampled ahead and those
    prefetched; in an evaluation a unit for each engine and one that is prepared meanwhile.
    """
    ahead = config.rollout.max_staleness + 2
    trained = max(stage.prompts_per_step for stage in config.stages) * ahead
    answered = (config.rollout.workers + 1) * answered_together(config, shape)
    return max(trained, answered) * prompt_gb(shape, load)


def prompt_gb(shape: ModelShape, load: Workload) -> float:
    """One prompt in the object store: its patches, a byte a number."""
    return load.patches * shape.pixels_per_patch / GB


def answered_together(config: RunConfig, shape: ModelShape) -> int:
    """Questions of an evaluation that an engine answers side by side: enough to keep it busy, while
    the prompts of all engines, which hold their pixels in float32, and those prepared meanwhile fit
    into ANSWERING_GB.
    """
    seen = 4 * prompt_gb(shape, largest(config, shape))
    room = ANSWERING_GB / seen / (config.rollout.workers + 1)
    return min(ANSWERED_TOGETHER, max(1, int(room)))


def store_gb(config: RunConfig, shape: ModelShape) -> float:
    """Room for objects that a Ray of our own is given, with as much again for gaps between them.

    What Ray takes by itself, a third of the machine, it writes to from end to end: each publishing
    of large weights would for long go to memory that nobody had before, ten times as slow.
    """
    weights = versions_stored(config) * published_gb(config, shape)
    return max(LEAST_STORE_GB, 2 * (weights + prompts_gb(config, shape, largest(config, shape))))


def host_parts(
    config: RunConfig,
    shape: ModelShape,
    *,
    ranks: int,
    engines: int,
    anchors: int,
    first: bool,
    publishes: bool,
) -> Parts:
    """One machine's memory by part, for its share of the roles.

    The first has the driver and the loaders as well; the learner's rank 0 publishes.
    """
    load, learner = largest(config, shape), config.learner
    parts: Parts = {}
    if learner.offload:
        each = HOST_OPTIMIZER_BYTES
        each += PINNED_BYTES if config.cluster.device == "cuda" else 0
        parts["optimizer"] = shape.trained(learner) * each / GB * ranks / learner.ranks
    # in the object store where they are made; before that, every rank reads the checkpoint
    stored = published_gb(config, shape) * (versions_stored(config) if publishes else 1)
    parts["published"] = max(stored, base_gb(config, shape) * ranks)
    if engines and (again := read_again_gb(config, shape)):
        parts["read again"] = again
    parts["prompts"] = prompts_gb(config, shape, load)
    loaders = config.data.loaders if first else 0
    if loaders:
        parts["clips"] = CLIPS_GB * loaders
    if config.rollout.tensor_parallel > 1 and weights_path(config) == "host":
        # the ranks of an engine cannot see the object store: each is given a copy, part by part
        parts["copies"] = engines * config.rollout.tensor_parallel * largest_part_gb(config, shape)
    device = config.cluster.device
    counts = {"learner": ranks, "rollout": engines * engine_processes(config), "anchor": anchors}
    processes = sum(count * process_gb(role, device) for role, count in counts.items())
    processes += 2 * loaders * PROCESS_GB["loader"] + first * PROCESS_GB["driver"]
    parts["processes"] = processes
    return parts
