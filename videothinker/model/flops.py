"""How many operations a pass over a group takes, by formula: the planner predicts with it, and the
speed of learner and scorer is counted in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from videothinker.config.learner import LearnerConfig, Part
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
    shares = backward(learner)
    return sum((1 + shares[part]) * flops for part, flops in _forward(shape, group).items())


def backward(learner: LearnerConfig) -> dict[Part, int]:
    """What a backward pass takes for each operation of a forward one: a part that is trained takes
    two, one that gradients only pass through takes one, adapters in it or not.
    """
    full = 2 if learner.lora is None else 1
    shares: dict[Part, int] = {}
    passing = 0
    for part in FORWARD:
        shares[part] = passing if part in learner.frozen else full
        passing = min(shares[part], 1)
    return shares


def _forward(shape: ModelShape, group: RolloutGroup) -> dict[Part, float]:
    lengths = [len(completion.token_ids) for completion in group.completions]
    return forward_flops(shape, group.patches, group.prompt_tokens, lengths)
