"""How a step's groups are dealt to forward passes."""

import pytest

from learner.rows import row_sizes
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
