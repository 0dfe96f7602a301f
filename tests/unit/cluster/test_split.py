"""How groups are dealt to learner ranks."""

from __future__ import annotations

import pytest

from cluster.fleet import split


@pytest.mark.parametrize(("groups", "ranks"), [(1, 1), (4, 2), (5, 2), (1, 3), (7, 4)])
def test_every_group_counts_once_and_every_rank_works_equally_long(groups: int, ranks: int) -> None:
    shares = split(groups, ranks)
    weights = dict.fromkeys(range(groups), 0.0)
    for share in shares:
        for index, weight in share:
            weights[index] += weight
    assert len({len(share) for share in shares}) == 1
    assert all(weight == pytest.approx(1 / groups) for weight in weights.values())
