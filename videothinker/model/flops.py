"""How many operations a pass over a group takes, by formula: the planner predicts with it, and the
speed of learner and scorer is counted in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from videothinker.config.settings import LearnerConfig, Part
from videothinker.model.shape import ModelShape
from videothinker.types import RolloutGroup

FORWARD: tuple[Part, ...] = ("vision", "merger", "layers", "embeddings")
"""In the order of a forward pass; the last as the output head."""


def forward_flops(
    shape: ModelShape, patches: float, prompt: float, lengths: Sequence[float] = ()
) -> dict[Part, float]:
    """Of one forward pass over a prompt and its completions, by part of the model.

    Two for each parameter and token, and four for each feature of a pair of tokens that see each
    other; the head sees the completions only. Attention within the vision tower is left out.
    """
    tokens = sum(lengths)
    pairs = prompt**2 / 2 + sum(length * (prompt + length / 2) for length in lengths)
    attention = 4.0 * shape.layers * shape.heads * shape.head_dim * pairs
    return {
        "vision": 2.0 * patches * shape.vision,
        "merger": 2.0 * patches / shape.projected * shape.merger,
        "layers": 2.0 * (prompt + tokens) * shape.language + attention,
        "embeddings": 2.0 * tokens * shape.vocabulary * shape.hidden,
    }


def scoring_flops(shape: ModelShape, group: RolloutGroup) -> float:
    """Of one model's opinion of a group."""
    return sum(_forward(shape, group).values())


def training_flops(shape: ModelShape, group: RolloutGroup, learner: LearnerConfig) -> float:
    """Of a forward and a backward pass over a group.

    What checkpointing computes again is no more of the work, and not counted.
    """
    return both_ways(_forward(shape, group), learner)


def both_ways(forward: Mapping[Part, float], learner: LearnerConfig) -> float:
    """Of a forward pass, by part, and the backward pass: a part that is trained takes two more for
    each forward one, one that gradients only pass through takes one, adapters in it or not.
    """
    full = 2 if learner.lora is None else 1
    total, passing = 0.0, 0
    for part in FORWARD:
        back = passing if part in learner.frozen else full
        passing = min(back, 1)
        total += (1 + back) * forward[part]
    return total


def _forward(shape: ModelShape, group: RolloutGroup) -> dict[Part, float]:
    lengths = [len(completion.token_ids) for completion in group.completions]
    return forward_flops(shape, group.patches, group.prompt_tokens, lengths)
