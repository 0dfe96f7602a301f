"""What adapters (`learner.lora`) change of a plan: the bytes that travel and are kept, and what
engines and scorers hold beside a base.
"""

from __future__ import annotations

from videothinker.config.lora import BESIDE, LoraConfig
from videothinker.config.settings import RunConfig, StageConfig, adapter_way
from videothinker.model.shape import BYTES, ModelShape
from videothinker.planning.passes import GB

PART_BYTES = 2**26
"""Of weights on their way (model/parts.py), unless all are less."""
PRODUCT_BYTES = 4
"""A number of an adapter's product, before it is added to the matrix that it belongs to."""


def base_gb(config: RunConfig, shape: ModelShape) -> float:
    """The whole model."""
    return shape.parameters * BYTES[config.model.dtype] / GB


def published_bytes(config: RunConfig, shape: ModelShape) -> int:
    """A version of the weights: everything, or the adapter that is trained in its place."""
    lora = config.learner.lora
    numbers = shape.parameters if lora is None else shape.trained(config.learner)
    return numbers * BYTES[config.model.dtype]


def published_gb(config: RunConfig, shape: ModelShape) -> float:
    return published_bytes(config, shape) / GB


def anchored_stages(config: RunConfig) -> list[StageConfig]:
    """The stages that ask an anchor."""
    return [stage for stage in config.stages if stage.kl.asks]


def learner_scores(config: RunConfig) -> bool:
    """Whether there is an anchor, and no process of its own for it."""
    return config.cluster.scorers == 0 and bool(anchored_stages(config))


def by_path(config: RunConfig, stage: StageConfig) -> bool:
    """Whether a stage's anchor is neither its initial model, nor its policy, nor another stage's
    result."""
    return stage.kl.anchor not in {"base", "policy", *(each.name for each in config.stages)}


def bases_scored(config: RunConfig) -> int:
    """Whole models that a scorer holds: adapters of one base share it. What is given by path is
    taken for a whole model, since a plan does not read it."""
    return max((_bases(config, stage) for stage in anchored_stages(config)), default=1)


def _bases(config: RunConfig, stage: StageConfig) -> int:
    if config.learner.lora is not None and not by_path(config, stage):
        return 1
    return 2 if stage.kl.compares else 1


def asked_gb(config: RunConfig, shape: ModelShape) -> float:
    """The adapter of an anchor that is another stage's result, or the policy, beside the base."""
    if config.learner.lora is None:
        return 0.0
    names = {"policy", *(stage.name for stage in config.stages)}
    anchors = {stage.kl.anchor for stage in anchored_stages(config)}
    return published_gb(config, shape) if anchors & names else 0.0


def engine_adapters(config: RunConfig, shape: ModelShape) -> dict[str, float]:
    """What an engine has for an adapter: room beside every matrix of the language model, adapted or
    not, and in some families beside embeddings and head; or, while it is added to one matrix after
    the other, itself and the largest of these three times."""
    lora, size = config.learner.lora, BYTES[config.model.dtype]
    if lora is None:
        return {}
    if adapter_way(config.rollout, lora, config.cluster.device) == "merged":
        largest = max(wide * narrow for wide, narrow in shape.adapted(lora))
        product = largest * (PRODUCT_BYTES + 2 * size)
        return {"merging": product / GB + published_gb(config, shape)}
    matrices = shape.layers * sum(map(sum, shape.linears.values()))
    around = 2 * (shape.vocabulary + shape.hidden)
    return {"adapters": room_for(lora) * (matrices + around) * size / GB}


def room_for(lora: LoraConfig) -> int:
    """The rank that vLLM makes room for."""
    return next((rank for rank in BESIDE if rank >= lora.rank), lora.rank)


def read_again_gb(config: RunConfig, shape: ModelShape) -> float:
    """Of the checkpoint, with each version that an engine adds to it."""
    lora, device = config.learner.lora, config.cluster.device
    merged = lora is not None and adapter_way(config.rollout, lora, device) == "merged"
    return base_gb(config, shape) if merged else 0.0


def told(config: RunConfig, shape: ModelShape) -> str:
    """One sentence about a run that trains an adapter: what that is in place of, and where the
    anchor sits. "" of any other."""
    if config.learner.lora is None:
        return ""
    whole, small = base_gb(config, shape), published_gb(config, shape)
    if not anchored_stages(config):
        return f"an adapter of {small:.2f} GB is trained and sent in place of {whole:.1f}"
    if learner_scores(config):
        return (
            "the learner scores: anchor and initial model are adapters of the base that it has,"
            f" {asked_gb(config, shape):.2f} GB in place of {whole:.1f}"
        )
    if any(by_path(config, stage) for stage in anchored_stages(config)):
        return (
            f"the anchor has a process of its own, since one by path may be a whole model:"
            f" {bases_scored(config) * whole:.1f} GB"
        )
    own = f"the anchor has a process and a base of its own, {whole:.1f} GB"
    if config.learner.zero_stage == 3:  # no rank has a whole model to score with
        return own
    asked = asked_gb(config, shape)
    return f"{own}: cluster.scorers=0 would have the learner score, with {asked:.2f}"
