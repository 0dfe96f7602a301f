"""Which groups share a row when the last of them is not there yet."""

from __future__ import annotations

import random

import builders
import numpy as np
import pytest
from builders import completion

from cluster.workers.ahead import Ahead
from cluster.workers.shares import consecutive, dealt_in_turn
from cluster.workers.work import Prepared
from videothinker.model.shape import TOKENS_AT_ONCE
from videothinker.types import ScoredGroup

HALF, THIRD = TOKENS_AT_ONCE // 2, TOKENS_AT_ONCE // 3


@pytest.mark.parametrize(
    ("lengths", "ranks", "rows"),
    [
        ([], 1, []),
        ([5 * TOKENS_AT_ONCE] * 2, 1, [range(1), range(1, 2)]),
        ([HALF] * 3, 1, [range(2), range(2, 3)]),
        ([THIRD, THIRD, HALF, HALF, THIRD], 1, [range(2), range(2, 4), range(4, 5)]),
        ([HALF] * 5, 2, [range(4), range(4, 5)]),
        ([HALF, HALF, THIRD, 2 * HALF], 2, [range(2), range(2, 4)]),
    ],
)
def test_a_row_ends_where_the_next_group_finds_no_room_in_it(
    lengths: list[int], ranks: int, rows: list[range]
) -> None:
    assert consecutive(lengths, ranks) == rows


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_what_comes_later_changes_the_last_row_only(ranks: int) -> None:
    dice = random.Random(ranks)
    for _ in range(100):
        lengths = [dice.randrange(1, TOKENS_AT_ONCE) for _ in range(12)]
        whole = consecutive(lengths, ranks)
        assert [place for row in whole for place in row] == list(range(12))
        for known in range(1, 12):
            closed = consecutive(lengths[:known], ranks)[:-1]
            assert closed == whole[: len(closed)]


def test_ranks_have_equally_many_groups_of_a_row_and_each_counts_once() -> None:
    shares = dealt_in_turn(range(4, 9), 3, 0.1)
    assert shares == [[(4, 0.1), (7, 0.1)], [(5, 0.1), (8, 0.1)], [(6, 0.1), (8, 0.0)]]


def of_lengths(asked: int, *lengths: int) -> Ahead:
    """A step's groups so far, of so many tokens each."""
    ahead = Ahead(step=1, asked=asked)
    for length in lengths:
        group = builders.group(completion("", np.arange(1)), prompt_tokens=length - 1)
        scored = ScoredGroup(
            group=group, rewards={}, advantages=np.zeros(1, np.float32), anchor_logprobs=None
        )
        ahead.scored.append((scored, Prepared(question=group.question, prompt=None, failure=None)))
    return ahead


def test_a_full_row_is_due_before_the_next_group_is_there_but_not_the_step_s_last() -> None:
    ahead = of_lengths(5, HALF)
    assert ahead.due(1) == []
    ahead = of_lengths(5, HALF, HALF)
    assert ahead.due(1) == [[[(0, 0.2), (1, 0.2)]]]
    assert ahead.due(2) == []
    ahead.given = 1
    assert ahead.due(1) == []
    ahead = of_lengths(2, HALF, HALF)
    assert ahead.due(1) == []
    assert ahead.rest(1) == [[(0, 0.5), (1, 0.5)]]


def test_where_all_is_given_and_nothing_came_after_it_the_update_adds_nothing() -> None:
    ahead = of_lengths(5, HALF, HALF)
    ahead.given = 1
    assert ahead.rest(1) == [[(1, 0.0)]]


def test_what_was_due_and_what_is_left_are_each_group_once() -> None:
    dice = random.Random(0)
    for ranks in (1, 2, 3):
        ahead, found = of_lengths(20), []
        for length in (dice.randrange(50, TOKENS_AT_ONCE) for _ in range(20)):
            ahead.scored += of_lengths(20, length).scored
            rows = ahead.due(ranks)
            ahead.given += len(rows)
            found += rows
        found.append(ahead.rest(ranks))
        counted = [place for row in found for mine in row for place, weight in mine if weight]
        assert sorted(counted) == list(range(20))
        assert all(len({len(mine) for mine in row}) == 1 for row in found)
