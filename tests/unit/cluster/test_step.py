"""What a step reports about its groups."""

import numpy as np

from cluster.step import duplicate_share
from videothinker.types import Completion, Question, RolloutGroup


def group(*token_ids: list[int]) -> RolloutGroup:
    return RolloutGroup(
        question=Question(id="q", video="v", text="?", options=(), answer="A"),
        completions=tuple(
            Completion(
                token_ids=np.array(tokens),
                logprobs=np.zeros(len(tokens), np.float32),
                weights_versions=np.full(len(tokens), 1, np.int32),
                text="the same text",
                finish_reason="stop",
            )
            for tokens in token_ids
        ),
        weights_version=1,
        worker="w",
        seconds=0.0,
        prompt_tokens=4,
    )


def test_duplicates_are_counted_within_groups_by_token_ids() -> None:
    assert duplicate_share([group([1, 2], [2, 1], [1])]) == 0.0
    assert duplicate_share([group([1], [1], [1])]) == 1.0
    assert duplicate_share([group([1], [1], [2]), group([1], [2], [3])]) == 0.25
