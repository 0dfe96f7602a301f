"""What a step reports about its groups."""

import builders
import numpy as np
import pytest
from builders import completion

from cluster.loop import step
from cluster.loop.step import UsualStep, debias_share, duplicate_share, truncated_tokens
from videothinker.process.metrics import USUAL_STEP
from videothinker.types import RolloutGroup, ScoredGroup


def group(*token_ids: list[int]) -> RolloutGroup:
    return builders.group(*[completion("the same text", tokens) for tokens in token_ids])


def test_duplicates_are_counted_within_groups_by_token_ids() -> None:
    assert duplicate_share([group([1, 2], [2, 1], [1])]) == 0.0
    assert duplicate_share([group([1], [1], [1])]) == 1.0
    assert duplicate_share([group([1], [1], [2]), group([1], [2], [3])]) == 0.25


def test_what_was_sampled_for_no_answer_is_counted_in_tokens() -> None:
    whole = completion("ended", [1, 2])
    cut = completion("not ended", [1, 2, 3, 4, 5, 6], finish_reason="length")
    assert truncated_tokens([whole, cut]) == 0.75
    assert truncated_tokens([whole]) == 0


def test_of_the_advantages_a_share_is_what_the_direction_makes() -> None:
    """The rewards alone say 2 and 2, and nothing in the group left out; of the others 1 and 0."""

    def scored(advantages: list[float], debias: list[float] | None) -> ScoredGroup:
        return ScoredGroup(
            group=group([1], [2]),
            rewards={},
            advantages=np.array(advantages),
            anchor_logprobs=None,
            debias=None if debias is None else np.array(debias),
        )

    groups = [scored([1.5, -1.5], [0.5, -0.5]), scored([1, -1], [0, 0]), scored([0, 0], None)]
    assert debias_share(groups) == pytest.approx(1 / 5)
    assert debias_share([scored([0.5, -0.5], [0.5, -0.5])]) == 1
    assert debias_share([scored([0, 0], [0, 0])]) == 0


def test_the_usual_step_is_a_median_and_unknown_while_none_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pace, seen = UsualStep(), []
    pace.rest()  # the metric is the process's, and another test may have left it anywhere
    for moment in (100.0, 102.0, 104.0, 170.0, 172.0):  # one was slow
        monkeypatch.setattr(step.time, "monotonic", lambda now=moment: now)
        pace.step()
        seen.append(USUAL_STEP._value.get())
    assert seen == [0, 2, 2, 2, 2]
    pace.rest()
    assert USUAL_STEP._value.get() == 0
    pace.step()  # an evaluation lies between: no step took so long
    assert USUAL_STEP._value.get() == 0
