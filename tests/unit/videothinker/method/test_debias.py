"""What the bias model or the policy's habit changes of rewards and advantages, by hand."""

from dataclasses import replace
from typing import Any

import builders
import numpy as np
import pytest
from builders import completion

from videothinker.config.kl import KLConfig
from videothinker.config.learner import AdvantageConfig
from videothinker.method.scoring import score_groups
from videothinker.types import AnchorScores, RolloutGroup, ScoredGroup

pytest.importorskip("torch")  # here, because importing it takes longer than a test may

RIGHT, WRONG = (f"<think>x</think><answer>{letter}</answer>" for letter in "AB")
Sums = tuple[float, ...]


def group(*answers: tuple[str, float], tokens: int = 4) -> RolloutGroup:
    """Completions, each with the log-prob that its sampler gave it, dealt out to its tokens."""
    said = [
        replace(completion(text, tokens), logprobs=np.full(tokens, total / tokens, np.float32))
        for text, total in answers
    ]
    return builders.group(*said)


def anchored(own: Sums, initial: Sums | None = None, tokens: int = 4) -> AnchorScores:
    """Log-probs of whole completions, dealt out likewise."""

    def dealt(sums: Sums) -> tuple[np.ndarray, ...]:
        return tuple(np.full(tokens, total / tokens, np.float32) for total in sums)

    return AnchorScores(
        logprobs=dealt(own), initial_logprobs=None if initial is None else dealt(initial)
    )


def scored(
    about: RolloutGroup,
    anchor: AnchorScores | None,
    advantage: AdvantageConfig | None = None,
    **kl: Any,
) -> ScoredGroup:
    earned = builders.earned(about, ["soft_accuracy"])
    config = KLConfig(**kl)
    return score_groups([(about, earned, anchor)], config, config.coefficient, advantage)[0]


ALIKE = ((RIGHT, -2.0), (RIGHT, -2.0), (WRONG, -2.0), (WRONG, -2.0))
PLAIN = 0.5 / (np.sqrt(1 / 3) + 1e-4)
"""The advantage of a right answer in a group of which half are right."""


def discounted(likelier: Sums, coefficient: float, tokens: int = 4, **more: Any) -> ScoredGroup:
    """Of completions that the anchor finds likelier than the initial model does, by so much."""
    about = group(*ALIKE[: len(likelier)], tokens=tokens)
    initial = (-2.0,) * len(likelier)
    own = tuple(-2.0 + gap for gap in likelier)
    anchor = anchored(own, initial, tokens)
    return scored(about, anchor, direction="discount", coefficient=coefficient, **more)


def test_a_discount_is_what_the_anchor_was_taught_to_say_rather_than_the_initial_model() -> None:
    """p = 2/3 and 0 of two right answers: their mean is 1/3."""
    found = discounted((np.log(3), 0.0, 5.0, 0.0), 0.3)
    expected = [PLAIN - 0.1, PLAIN + 0.1, -PLAIN, -PLAIN]
    assert found.advantages == pytest.approx(expected, abs=1e-5)
    assert found.debias == pytest.approx([-0.1, 0.1, 0, 0], abs=1e-6)
    assert found.rewards["soft_accuracy"].tolist() == [1, 1, 0, 0]
    assert {*found.rewards} == {"soft_accuracy"}


def test_saying_what_the_bias_model_has_un_learned_earns_nothing() -> None:
    for unlearned in (0.0, -0.5, -50.0):
        assert discounted((np.log(3), unlearned), 1.0).advantages == pytest.approx(
            [-1 / 3, 1 / 3], abs=1e-6
        )
    assert not discounted((-0.5, -50.0), 1.0).advantages.any()


def test_of_an_anchor_that_sees_less_what_needs_no_looking_counts_less() -> None:
    """1/4 of its chance is left of the first, all of the second: their mean is 5/8."""
    anchor = anchored((-2.0 - np.log(4), -1.0), (-2.0, -2.0))
    found = scored(
        group(*ALIKE[:2]), anchor, direction="discount", coefficient=0.8, anchor_view="blind"
    )
    assert found.advantages == pytest.approx([0.3, -0.3], abs=1e-6)


def test_a_discount_is_as_strong_as_its_coefficient_and_no_stronger() -> None:
    """Among right answers alone, where a division by the deviation makes 1 of any difference."""
    for coefficient in (0.01, 0.1, 1.0):
        found = discounted((np.log(3), 0.0), coefficient)
        assert found.advantages == pytest.approx([-coefficient / 3, coefficient / 3], abs=1e-6)
        tie = scored(
            group((RIGHT, 0.0), (RIGHT, 0.0)),
            anchored((-0.1, -2.0)),
            direction="tie_break",
            likelihood="absolute",
            coefficient=coefficient,
        )
        assert tie.advantages == pytest.approx([-0.7, 0.7], abs=0.03)


def test_a_discount_does_not_shrink_with_the_answers_length() -> None:
    short, long = (discounted((1.5, 0.0), 1.0, tokens=tokens) for tokens in (2, 200))
    assert short.advantages == pytest.approx(long.advantages, abs=1e-5)


def test_a_discount_moves_nothing_between_right_and_wrong() -> None:
    found = discounted((2.0, 0.3, 1.0, -1.0), 0.7)
    assert found.debias is not None
    assert found.debias[:2].sum() == pytest.approx(0, abs=1e-6)
    assert found.debias[2:].tolist() == [0, 0]
    nobody = scored(
        group((WRONG, 0.0), (WRONG, 0.0)),
        anchored((-1.0, -2.0), (-2.0, -2.0)),
        direction="discount",
        coefficient=1.0,
    )
    assert not nobody.advantages.any()


@pytest.mark.parametrize("scale", ["none", "batch"])
def test_a_discount_is_in_advantages_however_these_are_scaled(scale: Any) -> None:
    about = group(*ALIKE)
    anchor = anchored((-2.0 + np.log(3), -2.0, -2.0, -2.0), (-2.0,) * 4)
    how = AdvantageConfig(scale=scale)
    found = scored(about, anchor, how, direction="discount", coefficient=0.3)
    assert found.debias == pytest.approx([-0.1, 0.1, 0, 0], abs=1e-6)


def test_reweighing_takes_off_what_the_bias_model_gets_right() -> None:
    """The anchor says the right ones 3 times as often as the sampler, the wrong ones as often:
    3/4 of what it says is right."""
    anchor = anchored((-2.0 + np.log(3), -2.0 + np.log(3), -2.0, -2.0))
    found = scored(group(*ALIKE), anchor, direction="reweigh", coefficient=0.8)
    assert found.advantages == pytest.approx(np.array([1, 1, -1, -1]) * PLAIN * 0.4, abs=1e-5)
    whole = scored(group(*ALIKE), anchored((0.0, 0.0, -90.0, -90.0)), direction="reweigh",
                   coefficient=1.0)  # fmt: skip
    assert whole.advantages == pytest.approx([0, 0, 0, 0], abs=1e-6)


def test_an_unlikely_right_answer_earns_more_by_its_rank() -> None:
    """Of four: 1, 3/4, 1/2 and 1/4 of the coefficient go; a wrong one has nothing to lose."""
    about = group((RIGHT, -1.0), (RIGHT, -4.0), (WRONG, -2.0), (RIGHT, -3.0))
    found = scored(about, None, direction="unlikely", coefficient=0.4)
    assert found.rewards["deduction"] == pytest.approx([-0.4, -0.1, 0, -0.2], abs=1e-6)
    assert found.anchor_logprobs is None


def test_completions_that_are_as_likely_share_their_ranks() -> None:
    about = group((RIGHT, -1.0), (RIGHT, -1.0), (RIGHT, -5.0), (RIGHT, -1.0))
    found = scored(about, None, direction="unlikely", coefficient=1.0)
    assert found.rewards["deduction"] == pytest.approx([-0.75, -0.75, -0.25, -0.75], abs=1e-6)


def test_what_a_tie_break_makes_of_the_advantages_is_told() -> None:
    about = group((RIGHT, 0.0), (RIGHT, 0.0), (WRONG, 0.0), (WRONG, 0.0))
    found = scored(
        about,
        anchored((-0.1, -2.0, 0.0, 0.0)),
        direction="tie_break",
        likelihood="absolute",
        coefficient=0.5,
    )
    assert found.debias is not None
    assert found.advantages - found.debias == pytest.approx(
        np.array([1, 1, -1, -1]) * PLAIN, abs=1e-5
    )
    assert scored(about, None).debias is None
