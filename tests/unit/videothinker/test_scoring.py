"""A group's rewards and advantages."""

import numpy as np
import pytest

from videothinker.scoring import score_group
from videothinker.types import Completion, Question, RolloutGroup

pytest.importorskip("torch")  # here, because importing it takes longer than a test may

QUESTION = Question(id="q", video="v", text="?", options=(), answer="A")


def group(*texts: str) -> RolloutGroup:
    completions = tuple(
        Completion(
            token_ids=np.arange(3),
            logprobs=np.zeros(3, np.float32),
            text=text,
            finish_reason="stop",
        )
        for text in texts
    )
    return RolloutGroup(
        question=QUESTION,
        completions=completions,
        weights_version=4,
        worker="w",
        seconds=0.1,
        prompt_tokens=40,
    )


RIGHT = "<think>x</think><answer>A</answer>"
WRONG = "<think>x</think><answer>B</answer>"


def test_one_winner_among_eight_gets_the_hand_computed_advantage() -> None:
    scored = score_group(group(RIGHT, *[WRONG] * 7), ["soft_accuracy", "format"], None)
    assert scored.rewards["soft_accuracy"].tolist() == [1.0] + [0.0] * 7
    assert scored.rewards["format"].tolist() == [1.0] * 8
    assert scored.advantages.dtype == np.float32
    assert scored.advantages == pytest.approx([2.474] + [-0.353] * 7, abs=1e-3)
    assert scored.anchor_logprobs is None


def test_equal_rewards_give_no_advantage() -> None:
    scored = score_group(group(WRONG, WRONG), ["soft_accuracy"], None)
    assert scored.advantages.tolist() == [0.0, 0.0]


def test_anchor_logprobs_must_fit_the_sampled_tokens() -> None:
    fitting = [np.ones(3, np.float32)] * 2
    assert len(score_group(group(RIGHT, WRONG), ["format"], fitting).anchor_logprobs or ()) == 2
    with pytest.raises(AssertionError, match="anchor scored"):
        score_group(group(RIGHT, WRONG), ["format"], fitting[:1])
