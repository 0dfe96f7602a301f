"""How groups are dealt to learner ranks."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from builders import completion, group

from cluster.workers.shares import cost, dealt, split


def work(costs: list[float], ranks: int) -> list[float]:
    return [sum(costs[index] for index, weight in share) for share in split(costs, ranks)]


@pytest.mark.parametrize(("groups", "ranks"), [(1, 1), (4, 2), (5, 2), (1, 3), (7, 4)])
def test_every_group_counts_once_and_every_rank_works_equally_long(groups: int, ranks: int) -> None:
    shares = split([float(index % 3) for index in range(groups)], ranks)
    weights = dict.fromkeys(range(groups), 0.0)
    for share in shares:
        for index, weight in share:
            weights[index] += weight
    assert len({len(share) for share in shares}) == 1
    assert all(weight == pytest.approx(1 / groups) for weight in weights.values())


def test_expensive_groups_are_spread_over_the_ranks() -> None:
    # dealt in turn, one rank would have 9 + 9 and the other 1 + 1
    assert work([9.0, 1.0, 9.0, 1.0], 2) == [10.0, 10.0]


def test_a_rank_that_is_full_takes_no_more_however_little_it_has_to_do() -> None:
    assert work([10.0, 1.0, 1.0, 1.0], 2) == [11.0, 2.0]


def test_the_most_loaded_rank_is_within_a_third_of_the_best_there_is() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        costs = generator.integers(1, 30, size=6).astype(float).tolist()
        best = min(
            max(sum(costs[i] for i in range(6) if owner[i] == rank) for rank in (0, 1))
            for owner in product((0, 1), repeat=6)
            if sum(owner) == 3
        )
        assert max(work(costs, 2)) <= best * 4 / 3


def test_a_rank_that_comes_short_repeats_the_cheapest_group_for_nothing() -> None:
    assert split([5.0, 2.0, 4.0], 2) == [[(0, 1 / 3), (1, 0.0)], [(2, 1 / 3), (1, 1 / 3)]]


def test_equal_costs_are_dealt_in_order() -> None:
    assert [[index for index, _ in share] for share in split([1.0] * 4, 2)] == [[0, 2], [1, 3]]


def test_a_group_costs_its_prompt_with_the_vision_tower_and_all_of_its_completions() -> None:
    assert cost(group(completion("", 3), completion("", 4), prompt_tokens=10)) == 27


def test_each_update_has_its_part_of_the_groups_in_their_order_dealt_out_by_itself() -> None:
    mine, others = dealt([1.0] * 7, ranks=2, updates=3)
    assert mine == [[(0, 0.5)], [(2, 0.5)], [(4, 1 / 3), (6, 1 / 3)]]
    assert others == [[(1, 0.5)], [(3, 0.5)], [(5, 1 / 3), (6, 0.0)]]


def test_fewer_groups_than_updates_are_an_update_each() -> None:
    assert dealt([1.0, 1.0], ranks=1, updates=4) == [[[(0, 1.0)], [(1, 1.0)]]]
