"""How a step's groups are dealt to forward passes."""

import pytest

from learner.rows import require_agreement, row_sizes
from videothinker.errors import DivergenceError
from videothinker.model.shape import TOKENS_AT_ONCE


@pytest.mark.parametrize(
    ("groups", "longest", "sizes"),
    [
        (12, 300, [6, 6]),
        (7, 300, [4, 3]),
        (3, 300, [3]),
        (2, TOKENS_AT_ONCE // 2, [2]),
        (3, TOKENS_AT_ONCE // 2 + 1, [1, 1, 1]),
        (2, 10 * TOKENS_AT_ONCE, [1, 1]),
    ],
)
def test_rows_are_as_even_as_goes_and_a_long_group_has_one_to_itself(
    groups: int, longest: int, sizes: list[int]
) -> None:
    assert row_sizes(groups, longest) == sizes


def test_a_step_is_refused_at_four_times_the_tolerance_and_not_before() -> None:
    require_agreement(1, 0.2, tolerance=0.05)
    with pytest.raises(DivergenceError, match="sampler and learner disagree by"):
        require_agreement(1, 0.201, tolerance=0.05)
