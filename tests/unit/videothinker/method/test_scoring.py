"""A group's rewards and advantages, and the tokens that feel the divergence."""

from dataclasses import replace
from typing import Any

import builders
import numpy as np
import pytest
from builders import completion

from videothinker.config.kl import KLConfig
from videothinker.method.scoring import (
    alike,
    answer_start,
    divergence_mask,
    score_groups,
    teaches,
    unscored,
)
from videothinker.types import AnchorScores, RolloutGroup, ScoredGroup

pytest.importorskip("torch")  # here, because importing it takes longer than a test may


def group(*texts: str) -> RolloutGroup:
    return builders.group(*map(completion, texts))


def score_group(
    group: RolloutGroup,
    rewards: list[str],
    anchor: AnchorScores | None = None,
    kl: KLConfig | None = None,
    coefficient: float = 0.5,
) -> ScoredGroup:
    earned = builders.earned(group, rewards)
    return score_groups([(group, earned, anchor)], kl, coefficient)[0]


RIGHT = "<think>x</think><answer>A</answer>"
WRONG = "<think>x</think><answer>B</answer>"


def test_one_winner_among_eight_gets_the_hand_computed_advantage() -> None:
    scored = score_group(group(RIGHT, *[WRONG] * 7), ["soft_accuracy", "format"])
    assert scored.rewards["soft_accuracy"].tolist() == [1.0] + [0.0] * 7
    assert scored.rewards["format"].tolist() == [1.0] * 8
    assert scored.advantages.dtype == np.float32
    assert scored.advantages == pytest.approx([2.474] + [-0.353] * 7, abs=1e-3)
    assert scored.anchor_logprobs is None


def test_equal_rewards_give_no_advantage() -> None:
    scored = score_group(group(WRONG, WRONG), ["soft_accuracy"])
    assert scored.advantages.tolist() == [0.0, 0.0]


def test_anchor_logprobs_must_fit_the_sampled_tokens() -> None:
    fitting = AnchorScores(logprobs=(np.ones(3, np.float32),) * 2)
    assert score_group(group(RIGHT, WRONG), ["format"], fitting).anchor_logprobs == fitting.logprobs
    with pytest.raises(AssertionError, match="anchor scored"):
        score_group(group(RIGHT, WRONG), ["format"], AnchorScores(logprobs=fitting.logprobs[:1]))


def likely(*chances: float) -> AnchorScores:
    """An anchor that finds every token of a completion equally likely."""
    return AnchorScores(logprobs=tuple(np.full(3, np.log(p), np.float32) for p in chances))


def test_a_right_answer_loses_by_how_likely_its_tokens_are_to_the_anchor() -> None:
    kl = KLConfig(direction="tie_break", coefficient=0.5, likelihood="absolute")
    rewards = ["soft_accuracy", "format"]
    scored = score_group(group(RIGHT, RIGHT, WRONG), rewards, likely(0.8, 0.2, 0.8), kl)
    assert scored.rewards["soft_accuracy"].tolist() == [1, 1, 0]
    assert scored.rewards["deduction"] == pytest.approx([-0.4, -0.1, 0], abs=1e-6)
    totals = np.array([1.6, 1.9, 1.0])
    expected = (totals - totals.mean()) / (totals.std(ddof=1) + 1e-4)
    assert scored.advantages == pytest.approx(expected, abs=1e-5)


def test_the_tie_break_is_the_steps_share_not_that_of_the_settings() -> None:
    kl = KLConfig(direction="tie_break", coefficient=0.5, likelihood="absolute")
    scored = score_group(group(RIGHT, WRONG), ["soft_accuracy"], likely(0.8, 0.8), kl, 0.25)
    assert scored.rewards["deduction"] == pytest.approx([-0.2, 0], abs=1e-6)


def test_a_likelihood_relative_to_the_initial_models_is_1_at_most() -> None:
    kl = KLConfig(direction="tie_break", coefficient=0.5)
    strange = likely(0.1, 0.1, 0.9)  # to the anchor
    initial = likely(0.1, 0.4, 0.3).logprobs  # strange to both, to the anchor alone, to neither
    scores = replace(strange, initial_logprobs=initial)
    scored = score_group(group(RIGHT, RIGHT, RIGHT), ["soft_accuracy"], scores, kl)
    assert scored.rewards["deduction"] == pytest.approx([-0.5, -0.125, -0.5], abs=1e-6)


def test_a_comparison_without_the_initial_models_word_is_refused() -> None:
    kl = KLConfig(direction="tie_break", coefficient=0.5)
    with pytest.raises(AssertionError, match="the initial model's part"):
        score_group(group(RIGHT, WRONG), ["soft_accuracy"], likely(0.5, 0.5), kl)


def test_the_tie_break_is_on_being_right_not_on_the_form() -> None:
    kl = KLConfig(direction="tie_break", coefficient=1.0, likelihood="absolute")
    scored = score_group(group(WRONG, WRONG), ["soft_accuracy", "format"], likely(0.9, 0.1), kl)
    assert scored.rewards["deduction"].tolist() == [0, 0]
    assert scored.advantages.tolist() == [0, 0]
    assert scored.divergence_mask is None


def test_a_scored_group_carries_the_anchors_hidden_states_where_there_are_any() -> None:
    logprobs = (np.ones(3, np.float32),) * 2
    with_states = AnchorScores(logprobs=logprobs, hidden=(np.ones((3, 8), np.float32),) * 2)
    texts = group(RIGHT, WRONG)
    assert score_group(texts, ["format"], with_states).anchor_hidden is with_states.hidden
    assert score_group(texts, ["format"], AnchorScores(logprobs=logprobs)).anchor_hidden is None


def starts(*pieces: str) -> int | None:
    return answer_start(range(len(pieces)), lambda ids: "".join(pieces[place] for place in ids))


def test_the_answer_starts_at_the_token_that_holds_the_beginning_of_its_tag() -> None:
    assert starts("<think>", "x", "</think>", "<answer>", "A", "</answer>") == 3
    assert starts("x", "y", "><", "answer", ">A", "<", "/answer>") == 2
    assert starts(*"ab<answer>C</answer>") == 2
    assert starts("<answer>A") == 0
    assert starts("", "<answer>", "A", "</answer>", "<answer>", "B") == 1


def test_a_completion_without_a_whole_tag_has_no_answer() -> None:
    assert starts("A", "<", "answer") is None
    assert starts() is None


def felt(starting: int | None, advantages: tuple[float, ...] = (1.0, -1.0), **kl: Any) -> Any:
    config = KLConfig.model_validate({"direction": "repel", **kl})
    found = [completion("", 4, answer_start=starting)]
    mask = divergence_mask(found, np.array(advantages), config)
    return None if mask is None else mask[0].tolist()


def test_answer_and_thinking_share_the_tokens_out() -> None:
    assert felt(3, applies_to="answer") == [False, False, False, True]
    assert felt(3, applies_to="thinking") == [True, True, True, False]


def test_a_completion_without_an_answer_is_all_thinking() -> None:
    assert felt(None, applies_to="answer") == [False] * 4
    assert felt(None, applies_to="thinking") == [True] * 4


def test_without_a_choice_all_tokens_feel_the_divergence() -> None:
    assert felt(3) is None
    assert felt(3, direction="none") is None


def test_groups_without_signal_are_left_out_only_where_asked() -> None:
    assert felt(3, advantages=(0.0, 0.0), skip_equal_groups=True) == [False] * 4
    assert felt(3, advantages=(0.0, 0.0)) is None
    assert felt(3, skip_equal_groups=True) is None


def test_a_scored_group_carries_its_mask() -> None:
    kl = KLConfig(direction="repel", skip_equal_groups=True)
    anchor = AnchorScores(logprobs=(np.ones(3, np.float32),) * 2)
    scored = score_group(group(WRONG, WRONG), ["format"], anchor, kl)
    assert scored.divergence_mask is not None
    assert [mask.tolist() for mask in scored.divergence_mask] == [[False] * 3] * 2


REPEL, TIE_BREAK = (KLConfig(direction=one, coefficient=0.5) for one in ("repel", "tie_break"))
UNTAGGED = "B"


@pytest.mark.parametrize(
    ("texts", "plainly", "under_a_tie_break"),
    [
        ((RIGHT, RIGHT), False, True),  # the anchor may find one of them less likely
        ((WRONG, WRONG), False, False),
        ((RIGHT, WRONG), True, True),
        ((WRONG, UNTAGGED), True, True),  # by its form
        ((WRONG, "A"), False, True),  # one is right, the other in form
    ],
)
def test_a_group_teaches_where_its_completions_differ_or_a_tie_break_may_tell_them_apart(
    texts: tuple[str, str], plainly: bool, under_a_tie_break: bool
) -> None:
    earned = builders.earned(group(*texts), ["soft_accuracy", "format"])
    assert teaches(earned, KLConfig()) == teaches(earned, REPEL) == plainly
    for direction in ("tie_break", "discount", "unlikely"):
        told_apart = KLConfig(direction=direction, coefficient=0.5)
        assert teaches(earned, told_apart) == under_a_tie_break
    assert teaches(earned, KLConfig(direction="reweigh", coefficient=0.5)) == plainly


def test_rewards_that_make_up_for_each_other_teach_nothing() -> None:
    earned = {"format": np.array([1, 0], np.float32), "brief": np.array([0, 1], np.float32)}
    assert not teaches(earned, REPEL)


def test_what_is_taken_off_makes_no_group_of_equal_rewards_unequal() -> None:
    kl = KLConfig(direction="tie_break", coefficient=0.5, likelihood="absolute")
    scored = score_group(group(RIGHT, RIGHT), ["soft_accuracy"], likely(0.2, 0.9), kl)
    assert scored.advantages.any()
    assert alike(scored.rewards)


def test_a_group_left_out_has_the_rewards_of_the_others_and_no_advantage() -> None:
    about, names = group(WRONG, WRONG), ["soft_accuracy", "format"]
    earned = builders.earned(about, names)
    assert {*unscored(about, earned, REPEL).rewards} == {*names}
    left = unscored(about, earned, TIE_BREAK)
    assert {name: values.tolist() for name, values in left.rewards.items()} == {
        "soft_accuracy": [0.0, 0.0],
        "format": [1.0, 1.0],
        "deduction": [0.0, 0.0],
    }
    assert left.advantages.tolist() == [0.0, 0.0]
    assert left.left_out
    assert left.anchor_logprobs is None
