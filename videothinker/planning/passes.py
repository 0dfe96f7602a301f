"""What a row of groups takes beside the weights, forward and back, by part in GB.

Constants for CUDA were traced at the full size of the 3B and 7B models (tests/traced.py), those for
CPUs measured; where there is one for both, they agree.
"""

from __future__ import annotations

from dataclasses import dataclass

from videothinker.config.lora import LoraConfig
from videothinker.config.settings import RunConfig
from videothinker.model.shape import BYTES, LOGITS_AT_ONCE, ModelShape

Parts = dict[str, float]
"""GB by part."""
GB = 1e9
SAVED_PER_HIDDEN = {"cpu": 16, "cuda": 6.4}
SAVED_PER_VISION_HIDDEN = {"cpu": 15.2, "cuda": 10.2}
SAVED_PER_INNER = 4
"""Numbers that a layer keeps of each token for its backward pass, for each of its hidden and of its
MLP's inner features."""
PASSING_HIDDEN, PASSING_INNER = 2, 1
"""What a backward pass holds of each token in a layer beside."""
HELD_HIDDEN, HELD_INNER, HELD_VISION_HIDDEN = 5, 3, 23
"""What a layer holds of each token when nothing is kept."""
INPUTS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"), ("down_proj",))
"""Matrices with an input of their own that the backward pass needs for their gradients alone: kept
once for those together, and where an adapter is beside none of them not at all."""
AROUND_LAYERS, AROUND_BLOCKS = 2, 5
"""Hidden states of each token that are kept beside those of the layers, and of the vision tower's
blocks: embeddings, pixels."""
LOGITS_COPIES = 3
"""Of a chunk's scores over the vocabulary."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What one forward pass is given."""

    tokens: int
    patches: int
    scored: int
    """Tokens of completions."""
    repeated: int
    """Tokens of prompts, once for each completion."""


def row_phases(config: RunConfig, shape: ModelShape, row: Row, *, exact: bool) -> list[Parts]:
    """What a learner holds of a row: at the output head, then in the last layer, the first to be
    computed again where they are checkpointed, and at the end in the embeddings."""
    size = BYTES[config.model.dtype] / GB
    kept = {"activations": kept_text(config, shape, row), "vision": kept_vision(config, shape, row)}
    head = shape.vocabulary * shape.hidden * size
    if exact:
        kept["anchor's head"] = head
    if "embeddings" in config.learner.frozen:  # what follows are gradients
        head = 0.0
    wanted = row.scored * shape.vocabulary
    scores = logits_gb(config, wanted) * (2 if exact else 1)
    scores += widened_gb(config, shape)
    at_head = {"head": head, "logits": scores}
    if wanted > LOGITS_AT_ONCE[config.cluster.device]:
        # its gradient so far, that of a chunk, and their sum, which comes when the scores are gone
        at_head = {"head": 2 * head, "logits": max(head, scores)}
    layer = row.tokens * (PASSING_HIDDEN * shape.hidden + PASSING_INNER * shape.intermediate)
    if config.learner.lora is None:
        layer += shape.hidden * shape.intermediate
    else:  # no gradient of a matrix, but what comes of an adapter before it is added to the rest
        layer += row.tokens * shape.hidden
    in_layer = {"layer": layer * size}
    if config.learner.gradient_checkpointing:
        in_layer["layer"] += layer_gb(config, shape, row)
    embeddings = {"head": head}
    if shape.tied:  # the head's gradient waits for the embeddings', and their sum
        in_layer["head"], embeddings["head"] = head, 3 * head
    return [kept | at_head, kept | in_layer, embeddings]


def kept_text(config: RunConfig, shape: ModelShape, row: Row) -> float:
    """By the language model for its backward pass."""
    size = row.tokens * BYTES[config.model.dtype] / GB
    state, lora = shape.hidden * size, config.learner.lora
    if config.learner.gradient_checkpointing:
        layer = state
    else:
        unneeded = 0 if lora is None else nobodys_inputs(shape, lora)
        layer = layer_gb(config, shape, row) - unneeded * size
    return AROUND_LAYERS * state + shape.layers * layer


def nobodys_inputs(shape: ModelShape, lora: LoraConfig) -> int:
    """Numbers of each token that a layer keeps only where its own matrices are trained."""
    unneeded = [names[0] for names in INPUTS if not {*names} & {*lora.targets}]
    return sum(shape.linears[name][0] for name in unneeded)


def layer_gb(config: RunConfig, shape: ModelShape, row: Row) -> float:
    """What one layer keeps; its keys and values have the prompt's for each completion, and adapters
    narrow states."""
    numbers = SAVED_PER_HIDDEN[config.cluster.device] * shape.hidden
    numbers += SAVED_PER_INNER * shape.intermediate
    if (lora := config.learner.lora) is not None:
        numbers += len(lora.targets) * lora.rank
    keys = row.repeated * 2 * shape.kv_heads * shape.head_dim
    return (row.tokens * numbers + keys) * BYTES[config.model.dtype] / GB


def kept_vision(config: RunConfig, shape: ModelShape, row: Row) -> float:
    """By the vision tower, of which a frozen one keeps nothing in its blocks."""
    size = BYTES[config.model.dtype] / GB
    state = row.patches * shape.vision_hidden * size
    numbers = SAVED_PER_VISION_HIDDEN[config.cluster.device] * shape.vision_hidden
    numbers += SAVED_PER_INNER * shape.vision_intermediate
    checkpointed = config.learner.gradient_checkpointing
    block = state if checkpointed else row.patches * numbers * size
    blocks = 0 if "vision" in config.learner.frozen else shape.vision_layers
    return AROUND_BLOCKS * state + blocks * block


def scoring_gb(config: RunConfig, shape: ModelShape, row: Row) -> float:
    """Of a forward pass that keeps nothing: the largest of its three parts."""
    size = BYTES[config.model.dtype] / GB
    language = row.tokens * (HELD_HIDDEN * shape.hidden + HELD_INNER * shape.intermediate)
    vision = row.patches * HELD_VISION_HIDDEN * shape.vision_hidden
    logits = logits_gb(config, row.scored * shape.vocabulary) + widened_gb(config, shape)
    return max(language * size, vision * size, logits)


def logits_gb(config: RunConfig, wanted: int) -> float:
    """Scores over the vocabulary, of so many numbers a chunk."""
    return LOGITS_COPIES * min(wanted, LOGITS_AT_ONCE[config.cluster.device]) * 4 / GB


def widened_gb(config: RunConfig, shape: ModelShape) -> float:
    """An output head of 16 bits as one of 32; a GPU multiplies without that."""
    needed = config.cluster.device == "cpu" and config.model.dtype == "bfloat16"
    return shape.vocabulary * shape.hidden * 4 / GB if needed else 0.0
